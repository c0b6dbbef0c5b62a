"""The history of operators across torch releases."""

from __future__ import annotations

import pytest

from metalassay.errors import UserError
from metalassay.mps.operators import history, oracle


@pytest.mark.parametrize(
    ("overload", "first"),
    [
        ("im2col", "2.6.0"),
        ("_linalg_det.result", "2.7.1"),
        ("cholesky", "2.7.1"),
        ("col2im", "2.8.0"),
        ("_fused_rms_norm", "2.8.0"),
        ("native_dropout", "2.9.1"),
        ("_embedding_bag", "2.10.0"),
        ("gcd.out", "2.11.0"),
        ("linalg_qr", "2.12.1"),
        ("_cdist_backward", "2.13.0"),
        ("_linalg_eigh.eigenvalues", "2.14.1"),
        ("take", "2.15.0"),
    ],
)
def test_the_first_version_with_a_kernel_is_known(overload: str, first: str) -> None:
    (one,) = (one for one in history.histories(overload) if one.overload == overload)
    assert one.first_kernel == first
    later = oracle.versions()[oracle.versions().index(first) :]
    assert {one.states[version] for version in later} <= {"kernel", "absent"}


def test_a_full_name_returns_one_overload_and_an_operator_all() -> None:
    assert [one.overload for one in history.histories("mode.default")] == ["mode"]
    assert len(history.histories("mode")) > 1
    assert [one.overload for one in history.histories("linalg_qr.out")] == ["linalg_qr.out"]


def test_an_unknown_operator_is_an_error_that_names_similar_ones() -> None:
    with pytest.raises(UserError, match="similar: linalg_qr"):
        history.histories("linalg_qrr")
    with pytest.raises(UserError, match=r"no torch from 2\.0\.1 to 2\.15\.0 has an operator"):
        history.histories("zzzzzzzz")


def test_a_sentence_lists_the_periods_of_each_state() -> None:
    (qr,) = history.histories("linalg_qr.out")
    assert history.sentence(qr) == (
        "aten::linalg_qr.out: first kernel in torch 2.12 (missing in 2.0 to 2.11, kernel in 2.12 to"
        " 2.15)"
    )
    (airy,) = history.histories("special_airy_ai.default")
    assert history.sentence(airy).endswith(
        "; without a kernel of its own it uses that of aten::special_airy_ai.out"
    )


def test_changes_are_grouped_with_new_kernels_first() -> None:
    changes = (
        history.Change("abs", "kernel", "missing"),
        history.Change("mode", "missing", "kernel"),
        history.Change("take", "missing", "kernel"),
    )
    assert history.changes_text("2.13", "2.14", changes, 80) == (
        "torch 2.13.0 -> 2.14.1: 3 overloads differ\n\n"
        "missing -> kernel (2)\n  mode take\n\n"
        "kernel -> missing (1)\n  abs"
    )
