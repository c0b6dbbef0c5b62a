"""Timing of a step on a simulated clock and an asynchronous device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from metalassay.measure import timing
from metalassay.measure.timing import Timed, best, timed


class Machine:
    """A clock that only work advances, and a device that is busy until ``ready``."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.ready = 0.0
        self.waits = 0

    def work(self, wall: float, cpu: float, device: float = 0.0) -> None:
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu
        self.ready = self.wall + device

    def wait(self) -> None:
        self.waits += 1
        self.wall = max(self.wall, self.ready)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    simulated = Machine()
    clock = SimpleNamespace(perf_counter=lambda: simulated.wall, process_time=lambda: simulated.cpu)
    monkeypatch.setattr(timing, "time", clock)
    return simulated


def test_both_clocks_are_read_around_the_step_alone(machine: Machine) -> None:
    machine.work(5, 5, device=1)  # earlier work, which must be waited for first
    found = timed(lambda: machine.work(2.0, 0.5), machine.wait)
    assert (found.wall, found.cpu, found.left) == (2.0, 0.5, 0.0)
    assert machine.waits == 2


def test_what_the_device_still_does_after_the_step_is_left(machine: Machine) -> None:
    found = timed(lambda: machine.work(0.1, 0.1, device=3.0), machine.wait)
    assert found.wall == pytest.approx(0.1)
    assert found.left == pytest.approx(3.0)
    assert not found.waited


@pytest.mark.parametrize(
    ("wall", "left", "waited"),
    [
        (1.0, 0.0, True),
        (1.0, 0.2, True),
        (1.0, 0.21, False),
        (1e-6, 1.9e-4, True),  # asking an idle device takes that long
        (1e-6, 2.1e-4, False),
    ],
)
def test_a_step_waited_if_little_was_left(wall: float, left: float, *, waited: bool) -> None:
    assert Timed(wall, wall, left).waited is waited


def test_the_best_is_the_shortest_by_wall_time(machine: Machine) -> None:
    durations = iter([3.0, 1.0, 2.0])
    assert best(lambda: machine.work(next(durations), 1.0), machine.wait, tries=3).wall == 1.0
    assert next(durations, None) is None
