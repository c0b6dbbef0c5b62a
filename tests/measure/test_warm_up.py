"""Warm-up, energy and the lines about the harness in the header of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from metalassay.measure.steady_state import MOST_STEPS
from metalassay.measure.warm_up import WarmUp, drain, header, warm_up


def running(durations: Iterator[float]) -> tuple[Callable[[], object], Callable[[], float]]:
    """Return a step that takes these durations, and its clock."""
    now = [0.0]

    def step() -> None:
        now[0] += next(durations)

    return step, lambda: now[0]


def test_a_warm_up_ends_when_the_steps_are_steady() -> None:
    step, clock = running(iter([7.0, 3.0, *[1.0] * 100]))
    # Ten steps are compared, and the median of the first five of them must not be a slow one.
    assert warm_up(step, 1000, clock) == WarmUp(steps=10, first_step=7.0, steady=True)


def test_a_warm_up_that_takes_too_long_is_not_steady() -> None:
    step, clock = running(iter([10.0, 5.0, 20.0, 30.0]))
    assert warm_up(step, 30, clock) == WarmUp(steps=3, first_step=10.0, steady=False)


def test_there_are_at_least_two_steps() -> None:
    step, clock = running(iter([100.0, 1.0]))
    assert warm_up(step, 30, clock).steps == 2


def test_there_are_at_most_200_steps() -> None:
    step, clock = running(1.1**number for number in range(1000))
    found = warm_up(step, 1e12, clock)
    assert (found.steps, found.steady) == (MOST_STEPS, False)


def test_without_an_energy_counter_nothing_is_run() -> None:
    def step() -> None:
        raise AssertionError("this step should not run")

    measured = drain(step, 4, "no counter here")
    assert measured["per_watt"] is None
    assert "no counter here" in measured.values()


PEAK = {"device": "cpu", "threads": 2, "gflop_s": 1234.5, "gb_s": 20.25, "seconds": 1.3}


@pytest.mark.parametrize(
    ("passed", "lines"),
    [
        (True, []),
        (False, ["selftest FAILED: a sleep counts as wall time: 20 ms of CPU time"]),
    ],
)
def test_the_header_has_failed_checks_and_the_measured_peak(
    lines: list[str], *, passed: bool
) -> None:
    checks = [
        {"name": "a sleep counts as wall time", "passed": passed, "saw": "20 ms of CPU time"},
        {"name": "another", "passed": True, "saw": "all well"},
    ]
    assert list(header({"checks": checks, "roof": PEAK})) == [
        *lines,
        f"selftest: {1 + passed} of 2 checks pass; measured peak of cpu, 2 thread(s): "
        "1,234 GFLOP/s, 20.2 GB/s",
    ]
