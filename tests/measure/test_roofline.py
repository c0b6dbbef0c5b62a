"""The measured peak of a device, from simulated times and once for real."""

from __future__ import annotations

import math

import pytest
import torch

from metalassay.measure import roofline

CPU = torch.device("cpu")


def test_rates_are_work_over_the_shortest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.002, 0.01])  # of the matrix product, then of the triad
    monkeypatch.setattr(roofline, "_quickest", lambda work, device: next(seconds))
    monkeypatch.setattr(roofline, "_SIDE", {"cpu": 100})
    monkeypatch.setattr(roofline, "_ELEMENTS", {"cpu": 1000})
    peak = roofline.probe(CPU)
    assert peak.gflop_s == pytest.approx(2 * 100**3 / 0.002 / 1e9)
    assert peak.gb_s == pytest.approx(12 * 1000 / 0.01 / 1e9)
    assert (peak.device, peak.threads) == ("cpu", torch.get_num_threads())


def test_each_try_waits_for_the_device_and_the_first_call_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    monkeypatch.setattr(roofline, "synchronize", lambda device: events.append("wait"))
    monkeypatch.setattr(roofline, "_SECONDS", 0)
    assert roofline._quickest(lambda: events.append("work"), CPU) >= 0
    assert events == ["work", "wait"] * 4  # the untimed call and three tries


def test_a_small_probe_on_the_cpu_has_finite_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_SECONDS", 0)
    monkeypatch.setattr(roofline, "_SIDE", {"cpu": 16})
    monkeypatch.setattr(roofline, "_ELEMENTS", {"cpu": 256})
    peak = roofline.probe(CPU)
    assert all(0 < rate < math.inf for rate in (peak.gflop_s, peak.gb_s, peak.seconds))
