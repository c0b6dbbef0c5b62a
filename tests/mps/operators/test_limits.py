"""Which calls a release's kernels refuse for their sizes."""

from __future__ import annotations

from metalassay.mps.operators import limits, oracle


def test_every_release_has_been_read() -> None:
    assert set(limits._errors()) == set(oracle.versions())


def test_an_error_begins_as_the_table_says_and_names_an_operator_of_torch() -> None:
    newest = {name.partition(".")[0] for name in oracle.load(oracle.versions()[-1]).overloads}
    for row in limits.rows():
        assert set(row.operators) <= newest, row.id
        found = [limits.texts(version).get(row.id, "") for version in oracle.versions()]
        assert found[-1], f"no release has {row.id}"
        assert all(text.startswith(row.says) for text in found if text)


def test_a_release_whose_library_lacks_the_error_does_not_refuse() -> None:
    assert "_convolution" not in limits.by_operator("2.7.1")
    (convolution,) = limits.by_operator("2.8.0")["_convolution"]
    assert convolution == (
        "transposed-3d-half",
        "ConvTranspose 3D with BF16 or FP16 types is not supported on MPS",
    )
    assert limits.texts("9.9.9") == {}
