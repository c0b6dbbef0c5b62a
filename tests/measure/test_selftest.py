"""The self-test detects a faulty harness; the clocks here are simulated, except in one test."""

from __future__ import annotations

import itertools
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
        (0.0199, 0.02, False),  # shorter than the work
        (0.002, 0.02, False),
        (0.02, 0.002, False),  # CPU time that misses the work
        (0.02, 0.04, False),
    ],
)
def test_a_clock_that_is_wrong_about_known_work_fails(
    wall: float, cpu: float, *, passed: bool
) -> None:
    assert selftest.busy_wait(measuring(wall, cpu)).passed is passed


def test_other_programs_may_disturb_most_tries() -> None:
    disturbed = itertools.chain(
        [Timed(0.02, 0.008, 0.0)] * 40, itertools.repeat(Timed(0.0201, 0.0199, 0.0))
    )
    assert selftest.busy_wait(lambda *_: next(disturbed)).passed
    assert not selftest.busy_wait(lambda *_: Timed(0.02, 0.008, 0.0)).passed
    once = itertools.chain([Timed(0.02, 0.03, 0.0)], itertools.repeat(Timed(0.02, 0.02, 0.0)))
    assert not selftest.busy_wait(lambda *_: next(once)).passed  # a clock that runs too fast


@pytest.mark.parametrize(
    ("wall", "cpu", "passed"), [(0.02, 0.0, True), (0.02, 0.02, False), (0.0, 0.0, False)]
)
def test_a_sleep_must_not_count_as_cpu_time(wall: float, cpu: float, *, passed: bool) -> None:
    assert selftest.sleeping(measuring(wall, cpu)).passed is passed


def test_a_harness_that_never_checks_whether_the_device_is_done_fails() -> None:
    def blind(step: Callable[[], object], wait: Callable[[], object]) -> Timed:
        found = timed(step, wait)
        return Timed(found.wall, found.cpu, left=0.0)

    assert not selftest.late_device(blind).passed


def test_only_a_missing_wait_for_the_device_is_detected() -> None:
    device = selftest.LateDevice(seconds=0.05)
    assert not timed(device.launch, device.wait).waited

    def whole() -> None:
        device.launch()
        device.wait()

    assert timed(whole, device.wait).waited


def test_accepting_impossible_results_fails_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert selftest.too_fast().passed

    def credulous(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(roofline_model, "impossible", credulous)
    assert not selftest.too_fast().passed


def test_the_checks_that_need_no_quiet_machine_pass_here() -> None:
    checks: dict[str, Any] = {
        check.name: check for check in (selftest.late_device(), selftest.too_fast())
    }
    assert all(check.passed for check in checks.values()), checks
