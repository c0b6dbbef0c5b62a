"""The dtypes that a release's kernels refuse, from PyTorch's own lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.mps.operators import dtypes, oracle

FILE = Path(dtypes.__file__).with_name("dtypes.json")


@pytest.mark.parametrize(
    ("overload", "dtype"),
    [
        ("_convolution", "int64"),
        ("linear", "int64"),
        ("avg_pool2d", "int32"),
        ("adaptive_max_pool2d", "bool"),
        ("cholesky", "complex64"),
    ],
)
def test_a_kernel_refuses_what_the_lists_expect_to_fail(overload: str, dtype: str) -> None:
    known = dtypes.load("2.13.0")
    assert known is not None
    assert f"aten::{overload} does not take {dtype} on MPS" in known.reason(overload, dtype)
    assert known.reason("add.Tensor", dtype) == ""


@pytest.mark.parametrize("version", dtypes.versions())
def test_only_kernels_refuse_and_never_float32(version: str) -> None:
    known, operators = dtypes.load(version), oracle.load("2.13")
    assert known is not None
    for kernel, refused in known.refused.items():
        assert kernel in operators.overloads
        assert not {"float32", "float16", "bfloat16"} & refused.keys()
        assert not set(known.taken.get(kernel, ())) & refused.keys()


def test_the_file_names_its_wheels() -> None:
    record = json.loads(FILE.read_text("utf-8"))
    assert list(record["releases"]) == [
        each for each in oracle.versions() if each in dtypes.versions()
    ]
    assert dtypes.versions()[0] == "2.8.0"
    assert dtypes.versions()[-1] == oracle.versions()[-1]
    for version, release in record["releases"].items():
        read = json.loads(FILE.with_name(f"{version}.json").read_text("utf-8"))
        assert (release["wheel"], release["sha256"]) == (read["wheel"], read["sha256"])


def test_nothing_is_known_before_the_wheels_had_the_lists() -> None:
    assert dtypes.load("2.7.1") is None


def test_an_operator_answers_for_its_overloads() -> None:
    lines = dtypes.answers("aten::linear", "int64")
    assert any("aten::linear does not take int64 on MPS in torch 2.13.0" in line for line in lines)
    # An operator stands for its overloads.
    assert "aten::std.correction" in dtypes.answers("std", "complex64")[-1]
    assert dtypes.answers("add", "int64") == ()


def test_another_dtype_is_an_error() -> None:
    with pytest.raises(UserError, match="'int65' is not a dtype that PyTorch tests"):
        dtypes.answers("add", "int65")
