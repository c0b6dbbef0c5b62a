"""The self-test catches a harness that lies; the clocks here are made up, but for one real look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metalassay.machine import roofline_model
from metalassay.measure import selftest
from metalassay.measure.timing import Timed, timed


def measuring(wall: float, cpu: float, left: float = 0.0) -> Callable[..., Timed]:
    return lambda *_: Timed(wall, cpu, left)


@pytest.mark.parametrize(
    ("wall", "cpu", "passed"),
    [
        (0.02, 0.02, True),
        (0.0203, 0.0195, True),
        (0.0205, 0.02, False),  # 2.5 % too long
        (0.0199, 0.02, False),  # no work takes less than it takes
        (0.002, 0.02, False),
        (0.02, 0.002, False),  # CPU time that misses the work
        (0.02, 0.04, False),
    ],
)
def test_a_clock_that_is_wrong_about_known_work_fails(
    wall: float, cpu: float, *, passed: bool
) -> None:
    assert selftest.busy_wait(measuring(wall, cpu)).passed is passed


@pytest.mark.parametrize(
    ("wall", "cpu", "passed"), [(0.02, 0.0, True), (0.02, 0.02, False), (0.0, 0.0, False)]
)
def test_a_sleep_is_no_cpu_time(wall: float, cpu: float, *, passed: bool) -> None:
    assert selftest.sleeping(measuring(wall, cpu)).passed is passed


def test_a_harness_that_never_looks_whether_the_device_is_done_fails() -> None:
    def blind(step: Callable[[], object], wait: Callable[[], object]) -> Timed:
        found = timed(step, wait)
        return Timed(found.wall, found.cpu, left=0.0)

    assert not selftest.late_device(blind).passed


def test_a_device_that_answers_too_early_is_caught_and_one_that_is_waited_for_is_not() -> None:
    device = selftest.LateDevice(seconds=0.05)
    assert not timed(device.launch, device.wait).waited

    def whole() -> None:
        device.launch()
        device.wait()

    assert timed(whole, device.wait).waited


def test_impossible_results_are_refused_and_possible_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert selftest.too_fast().passed

    def credulous(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(roofline_model, "impossible", credulous)
    assert not selftest.too_fast().passed


def test_every_real_machine_refuses_the_impossible_and_waits_for_a_device() -> None:
    checks: dict[str, Any] = {
        each.name: each for each in (selftest.late_device(), selftest.too_fast())
    }
    assert all(each.passed for each in checks.values()), checks
