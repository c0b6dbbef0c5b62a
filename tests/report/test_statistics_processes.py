"""Ratios between runs in several processes, and the conditions under which there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalassay.report import statistics
from metalassay.results import load

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]


def test_the_interval_of_equal_processes_has_no_width() -> None:
    assert statistics.bootstrap_ratio([2.0] * 5, [3.0] * 5) == (1.5, 1.5)


def test_the_interval_of_different_processes_contains_the_ratio() -> None:
    found = statistics.bootstrap_ratio([1.0, 1.1, 0.9, 1.0, 1.05], [2.0, 2.2, 1.8, 2.0, 2.1])
    assert found is not None
    low, high = found
    assert 1.6 < low < 2.0 < high < 2.5


def test_few_processes_have_no_interval() -> None:
    assert statistics.bootstrap_ratio([1.0] * 4, [1.0] * 9) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "cpu", "malloc": "tuned"}, "malloc tuned and default"),
        ({"power_mode": "low"}, "power mode low and automatic"),
        (
            {"flags": ("throttled: after it the processor ran at 70% of its speed",)},
            "one was throttled by heat",
        ),
    ],
)
def test_runs_under_different_conditions_have_no_ratio(
    changes: dict[str, Any], reason: str
) -> None:
    other = replace(M4, power_mode="automatic", device=changes.get("device", M4.device))
    one = replace(other, **changes)
    assert statistics.differences(one, other) == [reason]
    assert statistics.differences(other, other) == []
