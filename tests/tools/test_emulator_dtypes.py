"""The judgement of the emulated dtypes, on results that were made up."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")
import emulator_dtypes
import torch

TABLE: dict[str, Any] = {
    "failing": 1,
    "passing": {"argsort": "the order of equal values"},
    "explained": {"to_sparse": "no sparse tensors"},
}
FINE = {
    "nn.functional.linear": {"int64": "refused", "float32": ""},
    "to_sparse": {"float32": "no sparse tensors"},
    "argsort": {"bool": ""},
}


def judged(**more: dict[str, str]) -> list[str]:
    return emulator_dtypes.judge({**FINE, **more}, "2.13.0", TABLE)


def test_what_is_listed_or_explained_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert judged() == []
    assert "2 are expected to fail and 1 do, 0 of them" in capsys.readouterr().out


def test_a_failure_that_is_not_listed_is_reported() -> None:
    assert judged(add={"int64": "boom"}) == ["add in int64 fails and is not listed: boom"]


def test_a_listed_failure_that_is_gone_is_reported() -> None:
    fewer = {"nn.functional.linear": {"int64": ""}}
    assert judged(**fewer) == [
        "nn.functional.linear in int64 is listed and does not fail",
        "0 listed pairs fail, and 1 did",
    ]


def test_an_explanation_that_is_no_longer_needed_is_reported() -> None:
    assert judged(to_sparse={"float32": ""}) == ["explained, but as expected: to_sparse"]
    assert judged(argsort={"bool": "boom"}) == ["explained, but as expected: argsort"]


def test_a_failure_that_only_the_cpu_has_is_counted_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    linear = {"nn.functional.linear": {"int64": emulator_dtypes.CPU + "it has no kernel"}}
    assert judged(**linear) == []
    assert "2 are expected to fail and 1 do, 1 of them" in capsys.readouterr().out


class Info:
    """An OpInfo whose operator raises an error, or returns another dtype, on the CPU."""

    def __init__(self, error: bool) -> None:
        self.error = error

    def sample_inputs(self, device: str, dtype: Any) -> Any:
        from torch.testing._internal.opinfo.core import SampleInput

        sample: Any = SampleInput
        yield sample(torch.ones(2, dtype=dtype), kwargs={"device": "mps"})

    def __call__(self, tensor: Any, device: str) -> Any:
        if device == "mps":
            return tensor
        if self.error:
            raise NotImplementedError("not on the CPU")
        return tensor.double()


def test_a_listed_pair_is_compared_with_the_cpu() -> None:
    error = emulator_dtypes.run(Info(True), torch.float32, None)
    assert error == "on the CPU: NotImplementedError: not on the CPU"
    other = emulator_dtypes.run(Info(False), torch.float32, None)
    assert other.startswith("on the CPU: it returns [torch.float64]")
    # Of what should pass, only the device is asked.
    assert emulator_dtypes.run(Info(True), torch.float32, 4) == ""


def test_the_table_is_about_the_emulated_session() -> None:
    table = tomllib.loads(emulator_dtypes.TABLE.read_text("utf-8"))
    assert {"torch", "dtypes", "failing", "passing", "explained"} == set(table)
    assert len(table["dtypes"]) == 7
