"""Which operators a release's composites call; the examples were read in PyTorch's sources."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from metalassay.mps.operators import calls, oracle

FILE = Path(calls.__file__).with_name("calls.json")


# aten/src/ATen/native/transformers/attention.cpp and SoftMax.cpp at the tags v2.3.1, v2.5.1 and v2.6.0:
# attention calls softmax, _safe_softmax with eq(-inf), and _safe_softmax with isneginf.
@pytest.mark.parametrize(
    ("caller", "version", "expected"),
    [
        ("scaled_dot_product_attention", "2.3", "does not call"),
        ("scaled_dot_product_attention", "2.5", "does not call"),
        ("scaled_dot_product_attention", "2.6", "calls"),
        ("_safe_softmax", "2.3", "cannot tell"),
        ("_safe_softmax", "2.5", "does not call"),
        ("_safe_softmax", "2.13", "calls"),
        ("linalg_matrix_exp", "2.3", "cannot tell"),
    ],
)
def test_a_release_calls_what_its_own_code_calls(caller: str, version: str, expected: str) -> None:
    assert calls.answer(caller, "isneginf", oracle.load(version)) == expected


def test_all_variants_of_an_operator_are_one() -> None:
    release = oracle.load("2.6")
    assert calls.answer("_safe_softmax", "isneginf.out", release) == "calls"


def test_an_operator_that_a_release_does_not_have_is_not_called() -> None:
    assert calls.answer("relu", "_safe_softmax", oracle.load("2.3")) == "does not call"


def test_a_kernel_calls_nothing() -> None:
    release = oracle.load("2.5")
    assert release.state("linalg_lu_factor") == "kernel"
    assert calls.answer("linalg_lu_factor", "mode", release) == "does not call"


def test_an_inner_caller_that_is_not_known_does_not_hide_an_outer_one() -> None:
    old, new, traced = oracle.load("2.3"), oracle.load("2.6"), oracle.load("2.13")
    path = ["scaled_dot_product_attention", "_safe_softmax"]
    assert calls.inside(path, "isneginf.out", old, traced) == "does not call"
    assert calls.inside(path, "isneginf.out", new, traced) == "calls"
    assert calls.inside(["_safe_softmax"], "isneginf.out", old, traced) == "cannot tell"
    either = "softmax.int|_safe_softmax"
    assert calls.inside([either], "isneginf.out", old, traced) == "cannot tell"
    assert calls.inside([], "isneginf.out", old, traced) == "calls"


def test_a_call_that_was_seen_and_is_not_in_the_data_is_not_excused() -> None:
    old, traced = oracle.load("2.5"), oracle.load("2.13")
    assert calls.answer("relu", "mode", old) != "calls"
    assert calls.inside(["constant_pad_nd"], "mode", old, traced) == "cannot tell"
    # A checkpoint runs the forward pass inside a formula, which says nothing about it.
    assert calls.inside(["MulBackward0"], "mode", old, traced) == "calls"


def test_the_file_names_its_wheels_and_only_changes() -> None:
    record = json.loads(FILE.read_text("utf-8"))
    assert record["schema"] == calls.SCHEMA
    assert list(record["wheels"]) == list(oracle.versions())
    for version, source in record["wheels"].items():
        read = json.loads(FILE.with_name(f"{version}.json").read_text("utf-8"))
        assert source == {"wheel": read["wheel"], "sha256": read["sha256"]}
    assert list(record["calls"]) == sorted(record["calls"])
    known = frozenset().union(*(oracle.load(each).overloads for each in oracle.versions()))
    for caller, changes in record["calls"].items():
        assert caller in known or "Backward" in caller, caller
        values = list(changes.values())
        assert all(before != after for before, after in itertools.pairwise(values))
        assert values[0] is not None
        assert any(values)
        for value in values:
            assert set((value or "").split()) <= known


def test_overloads_and_variants_of_an_operator_have_one_name() -> None:
    names = ("lerp.Scalar_out", "lerp_.Tensor", "lerp")
    assert {calls.base(name) for name in names} == {"lerp"}
