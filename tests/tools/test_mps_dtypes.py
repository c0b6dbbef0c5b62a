"""What is read from the lists in a wheel, and what follows for kernels; nothing is executed."""

from __future__ import annotations

import json

import mps_dtypes
import pytest
from wheel_reader import expectations

from metalassay.errors import UserError
from metalassay.mps.operators import dtypes

LISTS = """
if torch.backends.mps.is_available():
    def mps_ops_modifier(ops):
        SUPPORTED_COMPLEX_OPS = {"add", "mm"}
        MACOS_BEFORE_14_4_XFAILLIST = {"fft.hfft2": [torch.complex64]}
        UNIMPLEMENTED_XFAILLIST: dict = {
            "mode": None,
            "nn.functional.pool": [torch.int64, torch.bool],
            "area": [torch.long],
        }
        if MACOS_VERSION < 15.0:
            UNIMPLEMENTED_XFAILLIST.update({"quantile": None})
        UNDEFINED_XFAILLIST = {"addr": [torch.half]}
        return ops
"""
RECORDED = {
    "add": {"dtypes": "int64 complex64", "calls": {"add.Tensor": "int64 complex64"}},
    "area": {"dtypes": "int64", "calls": {"add.Tensor": "int64", "pool": "int64"}},
    "nn.functional.pool": {"dtypes": "bool int64", "calls": {"pool": "bool int64", "pad": "bool"}},
    "cos": {"dtypes": "complex64", "calls": {"cos": "complex64"}},
    "mode": {"dtypes": "int64", "calls": {"mode_part": "int64"}, "missing": "int64"},
    "dot": {"dtypes": "bool", "calls": {"dot": "bool"}, "cpu_lacks": {"dot": "bool"}},
}


def test_each_list_says_what_it_is_about() -> None:
    lists = expectations.parse(LISTS)
    assert lists.fails["mode"] == ("*",)
    assert lists.fails["nn.functional.pool"] == ("bool", "int64")
    assert lists.numbers == {"addr": ("float16",)}
    assert lists.macos == {"14.4": {"fft.hfft2": ("complex64",)}, "15.0": {"quantile": ("*",)}}
    states = {mps_dtypes.state(lists, name, "complex64") for name in ("add", "cos")}
    assert states == {"passes", "fails"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("UNDEFINED_XFAILLIST", "SOMETHING_LIST", "has a new list, SOMETHING_LIST"),
        ("[torch.half]", "some_types()", "are not dtypes"),
        ("mps_ops_modifier", "other", "no mps_ops_modifier"),
    ],
)
def test_what_is_not_understood_is_an_error(before: str, after: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        expectations.parse(LISTS.replace(before, after))


def test_a_kernel_that_only_failing_tests_call_refuses() -> None:
    found = mps_dtypes.refusals(expectations.parse(LISTS), RECORDED)
    assert found == {
        "cos": {"complex64": "cos"},
        "pool": {"bool": "nn.functional.pool", "int64": "nn.functional.pool"},
    }


def test_a_dtype_that_the_cpu_lacks_is_taken_if_the_test_passes() -> None:
    lists = expectations.parse(LISTS)
    assert mps_dtypes.taken(lists, RECORDED) == {"dot": "bool"}
    lists.fails["dot"] = ("bool",)
    assert mps_dtypes.taken(lists, RECORDED) == {}


def test_the_dtypes_that_an_opinfo_names_are_read() -> None:
    source = "OpInfo('dot', variant_test_name='x', dtypesIfMPS=floating_types_and(torch.half))"
    assert expectations.taken(source) == {"dotx": ("float16", "float32")}


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("unittest.expectedFailure, 'TestConsistency', dtypes=[torch.bool]", {"dot": ("bool",)}),
        ("unittest.expectedFailure, device_type='mps'", {"dot": ("*",)}),
        ("unittest.expectedFailure, 'TestConsistency', 'test_output_grad_match'", {}),
        ("unittest.expectedFailure, 'TestCommon', device_type='mps'", {}),
        ("unittest.expectedFailure, 'TestConsistency', device_type='cuda'", {}),
        ("unittest.expectedFailure, device_type='cuda'", {}),
        ("unittest.expectedFailure", {}),
        ("unittest.skip('slow'), 'TestConsistency'", {}),
    ],
)
def test_a_decorator_counts_if_it_is_about_the_comparison_with_the_cpu(
    decorator: str, expected: object
) -> None:
    assert expectations.decorated(f"OpInfo('dot', skips=(DecorateInfo({decorator}),))") == expected


def test_what_an_opinfo_says_of_itself_refuses_nothing() -> None:
    lists = expectations.parse(LISTS)
    lists.decorated["add"] = ("int64",)
    assert mps_dtypes.state(lists, "add", "int64") == "passes"
    assert mps_dtypes.state(lists, "add", "int64", decorated=True) == "fails"
    assert "add.Tensor" not in mps_dtypes.refusals(lists, RECORDED)


def test_a_failure_that_only_the_dtype_of_the_cpu_explains_refuses_nothing() -> None:
    pool = {**RECORDED["nn.functional.pool"], "double": "int64"}
    lists = expectations.parse(LISTS.replace('"area": [torch.long],', ""))
    found = mps_dtypes.refusals(lists, {**RECORDED, "nn.functional.pool": pool})
    assert found["pool"] == {"bool": "nn.functional.pool"}


def test_a_recording_keeps_what_is_remarked_apart() -> None:
    noted = {"int64": ["aten::bincount Long", "aten::bincount Long cpu-double"]}
    noted["bool"] = ["aten::dot Bool", "aten::dot Bool cpu-lacks", "aten::mul Float"]
    assert mps_dtypes.entry("x", noted, ["bool"]) == {
        "name": "x",
        "dtypes": "bool int64",
        "calls": {"bincount": "int64", "dot": "bool"},
        "cpu_lacks": {"dot": "bool"},
        "double": "int64",
        "missing": "bool",
    }


def test_the_shipped_file_follows_from_the_lists_and_the_recording() -> None:
    recorded = json.loads(mps_dtypes.RECORDED.read_text("utf-8"))["opinfos"]
    for version, release in dtypes._record()["releases"].items():
        lists = mps_dtypes.shipped(version)
        assert mps_dtypes.refusals(lists, recorded) == release["refused"], version
        assert mps_dtypes.taken(lists, recorded) == release["taken"], version
