"""Where a step stands: the work is counted, the peak and the time are measured, the rest is arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.ask import contract, roofline
from metalassay.measure import roofline as measured
from metalassay.measure.roofline import MeasuredPeak

TEXT = """
import torch
from torch import nn
def make(batch_size):
    model = nn.Sequential(nn.Linear(32, 64, bias=False), nn.Linear(64, 16, bias=False))
    model[0].weight.requires_grad_({trained})
    return model, torch.randn(batch_size, 32)
"""


def asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, trained: bool = True
) -> roofline.Answer:
    path = folder / "mine.py"
    path.write_text(TEXT.replace("{trained}", str(trained)), "utf-8")
    peaks = iter([MeasuredPeak("cpu", 2, 5.0, 9.0, 1.0), MeasuredPeak("cpu", 2, 8.0, 7.0, 1.5)])
    monkeypatch.setattr(measured, "probe", lambda where: next(peaks))
    return roofline.ask(contract.File(path), torch.device("cpu"), 10, 0.01)


def test_work_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(tmp_path, monkeypatch)
    forward = 2 * 10 * (32 * 64 + 64 * 16)
    backward = 2 * 10 * (32 * 64 + 2 * 64 * 16)  # of weights, and of the input of the second
    assert found.flop == forward + backward
    assert found.compulsory == 6 * 4 * (32 * 64 + 64 * 16) + 4 * 10 * 32
    assert found.intensity == pytest.approx(found.flop / found.compulsory)


def test_a_frozen_weight_is_read_and_has_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asked(tmp_path, monkeypatch, trained=False)
    assert found.compulsory == 6 * 4 * (64 * 16) + 4 * (32 * 64) + 4 * 10 * 32


def test_the_better_of_two_peaks_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(tmp_path, monkeypatch)
    assert (found.gflop_s, found.gb_s, found.seconds_of_probes) == (8.0, 9.0, 2.5)
    arithmetic, memory = found.flop / 8e9, found.compulsory / 9e9
    assert found.least_seconds == pytest.approx(max(arithmetic, memory))
    assert found.bound == ("arithmetic" if arithmetic > memory else "memory")
    assert found.achieved_gflop_s == pytest.approx(found.flop / found.timing.seconds / 1e9)


def test_the_peak_is_that_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TEXT.replace("{trained}", "True"), "utf-8")
    found = roofline.ask(contract.File(path), torch.device("cpu"), 10, 0.01)
    assert found.seconds_of_probes > 1
    assert 0 < found.achieved_gflop_s < found.gflop_s
    assert found.least_seconds < found.timing.seconds
