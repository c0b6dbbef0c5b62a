"""Known bugs of MPS by the operators of a step: each row fits its own test in compat, and not what is unlike it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mps_hazards
import pytest
import torch
from compat import test_mps_parity
from torch import nn

from metalassay import bugs
from metalassay.ask import contract, hazards
from metalassay.bugs.catalogue import Calls

_COSTLY = {"mps-compiled-layer-norm", "mps-fused-adam-ignores-overflow"}
MARKED = [
    pytest.param(each.values[0], mark.args[0], id=f"{mark.args[0]}-{each.values[0]}")
    for parametrized in vars(test_mps_parity.test_mps_computes_what_the_cpu_does)["pytestmark"]
    if parametrized.name == "parametrize" and parametrized.args[0] == "hazard"
    for each in parametrized.args[1]
    for mark in each.marks
    if mark.name == "bug" and bugs.get(mark.args[0]).calls and mark.args[0] not in _COSTLY
]
TEXT = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.lstm = nn.LSTM(4, 4)
    def forward(self, x):
        return self.lstm(self.norm(x).transpose(0, 1))[0]
def make(batch_size):
    return Model(), {"x": torch.randn(batch_size, 5, 4)}
"""


def recorded(*names: str) -> hazards.Recorder:
    return hazards.Recorder(frozenset(names))


@pytest.mark.parametrize(("function", "bug_id"), MARKED)
def test_a_row_fits_what_its_own_test_calls(function: str, bug_id: str) -> None:
    bug = bugs.get(bug_id)
    assert bug.calls is not None
    recorder = recorded(*bug.calls.operators)
    with recorder.running():
        try:
            getattr(mps_hazards, function)("cpu")
        except mps_hazards.UnsupportedError:
            pytest.skip("this torch has no such case")
    assert hazards.met(bug.calls, recorder)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (Calls(("linear",)), True),
        (Calls(("conv2d",)), False),
        (Calls(("linear",), frozenset({"strided"}), 1), True),
        (Calls(("linear",), frozenset({"strided"}), 0), False),
        (Calls(("linear",), frozenset({"strided", "half"}), 1), False),
        (Calls(("linear",), frozenset({"nan"})), False),
        (Calls(("linear",), longer_than=7), True),
        (Calls(("linear",), longer_than=8), False),
        (Calls(("linear",), argument=0, dimension=-2, at_most=3), True),
        (Calls(("linear",), argument=0, dimension=-2, at_most=2), False),
    ],
)
def test_a_call_fits_by_what_it_took(calls: Calls, expected: bool) -> None:
    recorder = recorded("linear", "conv2d")
    with recorder.running():
        nn.functional.linear(torch.randn(3, 8), torch.randn(8, 5).t())
    assert bool(hazards.met(calls, recorder)) is expected


@pytest.mark.parametrize(
    ("where", "versions", "expected"),
    [
        ("mps-lstm-permuted-input", {"torch": "2.13.0"}, True),
        ("mps-lstm-permuted-input", {"torch": "2.9.1"}, False),
        ("mps-lstm-permuted-input", {"torch": "2.13.0", "macos": "11.0", "apple-silicon": "2"}, False),
        ("mps-long-bmm", {"torch": "2.13.0", "macos": "15.1", "apple-silicon": "4"}, False),
        ("mps-long-bmm", {"torch": "2.13.0", "macos": "15.1"}, True),  # no Mac that we know: it may be
    ],
)  # fmt: skip
def test_versions_decide(where: str, versions: dict[str, str], expected: bool) -> None:
    assert hazards.may_hit(bugs.get(where), versions) is expected


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "mine.py"
    path.write_text(TEXT, "utf-8")
    return hazards.ask(contract.File(path), 3, "2.12.1")


def test_a_step_has_the_hazards_of_its_operators_and_lines(found: dict[str, Any]) -> None:
    rows = {row["id"]: row for row in found["rows"]}
    assert found["torch"] == "2.12.1"
    assert rows["mps-lstm-permuted-input"]["operators"] == ["lstm"]
    assert rows["mps-lstm-permuted-input"]["place"] == "mine.py:10"
    assert rows["mps-layer-norm-frozen-input"]["place"] == "mine.py:10"
    assert "contiguous" in rows["mps-lstm-permuted-input"]["fix"]
    assert "mps-linear-transposed-weight" not in rows
