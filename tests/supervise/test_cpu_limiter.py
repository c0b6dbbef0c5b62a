"""The governor: CPU time is held to its share whoever else is busy, and memory is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from cpu_time import burn

from metalassay.errors import UserError
from metalassay.supervise import cpu_limiter, machine_load
from metalassay.supervise.cpu_limiter import CpuLimiter, short
from metalassay.supervise.machine_load import CpuClock, Memory

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP and no SIGURG")


class Machine:
    """A clock and a program that a test moves by hand; sleeping is what the governor does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.used, self.slept, self.sleeps = 100.0, 5.0, 0.0, 0
        self.memory = Memory(0.9, 0, "normal")
        self.patch = monkeypatch
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(CpuClock, "seconds", lambda clock: self.used)
        monkeypatch.setattr(CpuClock, "children", lambda clock: [])
        monkeypatch.setattr(cpu_limiter, "cores", lambda: 4)
        monkeypatch.setattr(cpu_limiter, "memory", lambda: self.memory)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        self.sleeps += 1

    def work(self, wall: float, cpu: float) -> None:
        self.now += wall
        self.used += cpu


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_busy_program_has_its_share_in_whatever_thirty_seconds(
    machine: Machine, share: float
) -> None:
    with CpuLimiter(share, signals=False) as held:
        began, used, pauses = machine.now, machine.used, []
        times = [(0.0, 0.0)]
        while machine.now - began < 100:
            step = max(held.due_in(), cpu_limiter.SOONEST)
            machine.work(wall=step, cpu=4 * step)
            times.append((machine.now - began, machine.used - used))
            before = machine.slept
            held.pace()
            pauses += [machine.slept - before] if machine.slept > before else []
            times.append((machine.now - began, machine.used - used))
        assert held.state().paused == pytest.approx(machine.slept)
    at = np.arange(0, 100, 0.05)
    had = np.interp(at, [wall for wall, _ in times], [cpu for _, cpu in times])
    window = round(30 / 0.05)
    assert (had[window:] - had[:-window]) / 30 / 4 == pytest.approx(share, abs=0.004)
    # Few long ones, as a core that wakes up is slow for a while, and none that is a nuisance.
    most = min(cpu_limiter.BEARABLE, 6 * (1 - share))
    assert 0.7 * most < np.median(pauses) <= most + 0.01
    assert max(pauses) < cpu_limiter.BEARABLE + 0.5


def test_the_first_run_is_half_of_one_whether_a_program_starts_at_once_or_later(
    machine: Machine,
) -> None:
    for idle in (0.0, 61.3):
        with CpuLimiter(0.7, signals=False) as held:
            if idle:
                machine.work(wall=idle, cpu=0)
                held.pace()
            before, busy = machine.slept, 0.0
            while machine.slept == before:
                machine.work(wall=0.02, cpu=0.08)
                busy += 0.02
                held.pace()
                assert held.due_in() <= 0.1  # memory is looked at as often, and children may be new
        if idle:  # a second of credit, and at most a period
            assert 1 / (1 / 0.7 - 1) < busy < 6
        else:
            assert busy == pytest.approx(0.7 * 6 / 2, abs=0.03)


def test_a_program_that_is_busy_now_and_then_has_its_share_over_time(machine: Machine) -> None:
    with CpuLimiter(0.7, signals=False) as held:
        began, used = machine.now, machine.used
        for second in range(300):
            cpu = 4 if second % 4 else 1.5  # unheld it would have 84 % of the machine
            for _ in range(10):
                machine.work(wall=0.1, cpu=0.1 * cpu)
                held.pace()
        assert (machine.used - used) / (machine.now - began) / 4 == pytest.approx(0.7, abs=0.01)


def test_long_steps_are_paid_for_as_soon_as_they_end(machine: Machine) -> None:
    with CpuLimiter(0.7, signals=False) as held:
        began, used = machine.now, machine.used
        for _ in range(20):
            machine.work(wall=9, cpu=36)
            held.pace()
            assert held.debt() <= 0
        assert (machine.used - used) / (machine.now - began) / 4 == pytest.approx(0.7, abs=0.01)


def test_a_limit_of_memory_alone_never_pauses_for_the_cpu(machine: Machine) -> None:
    with CpuLimiter(max_memory=0.6, signals=False) as held:
        for _ in range(100):
            machine.work(wall=0.1, cpu=0.41)  # clocks do not agree to the last digit
            held.pace()
    assert machine.slept == 0


def test_a_program_below_its_share_is_never_paused_however_busy_the_machine(
    machine: Machine,
) -> None:
    with CpuLimiter(0.7, signals=False) as held:
        for _ in range(100):
            machine.work(wall=0.1, cpu=0.27)
            held.pace()
    assert machine.slept == 0


def test_a_program_that_waited_catches_up_on_a_second_and_no_more(machine: Machine) -> None:
    with CpuLimiter(0.5, signals=False) as held:
        machine.work(wall=60, cpu=0)
        held.pace()
        machine.work(wall=1, cpu=4)  # allowed: 2 in this second, and 2 for the one before
        held.pace()
        assert machine.slept == 0
        machine.work(wall=1, cpu=4)
        held.pace()
        # All of the debt, and on to half a pause of credit.
        assert machine.slept == pytest.approx(1 + 3.75 * (1 - 0.5) / 2, abs=0.002)


def test_a_debt_that_no_pause_pays_back_is_forgiven_and_said(machine: Machine) -> None:
    said: list[str] = []
    with CpuLimiter(0.1, signals=False, say=said.append) as held:
        machine.work(wall=0.2, cpu=0.8)
        real = machine.sleep

        def sleep(seconds: float) -> None:  # a thread that is not paused takes a whole core
            real(seconds)
            machine.used += seconds

        machine.patch.setattr(time, "sleep", sleep)
        held.pace()
        assert cpu_limiter.STUCK < machine.slept < cpu_limiter.STUCK + 1
        assert len(said) == 1
        assert "the limit does not hold" in said[0]


def test_memory_in_use_is_waited_for_and_told_once(machine: Machine) -> None:
    said: list[str] = []
    with CpuLimiter(max_memory=0.6, signals=False, say=said.append) as held:
        held.pace()
        assert machine.slept == 0
        machine.memory = Memory(0.3, 0, "normal")
        machine.work(wall=2, cpu=0)
        held.pace()
        assert machine.slept == pytest.approx(cpu_limiter.PATIENCE, abs=2)
        assert len(said) == 2
        assert said[0] == "70% of memory is in use, above 60%: waiting up to 30 s"
        assert said[1].endswith("in vain, going on")
        before = machine.slept
        machine.work(wall=2, cpu=0)
        held.pace()
        assert machine.slept == before  # it has waited; not again until memory was there


def test_waiting_ends_when_memory_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CpuLimiter(max_memory=0.6, signals=False) as held:
        machine.memory = Memory(0.9, 0, "warning")
        real = machine.sleep

        def sleep(seconds: float) -> None:
            real(seconds)
            if machine.slept > 3:
                machine.memory = Memory(0.9, 0, "normal")

        monkeypatch.setattr(time, "sleep", sleep)
        held.pace()
        assert 3 < machine.slept < 5
        assert held.state().memory is None


@pytest.mark.parametrize(
    ("found", "swapped", "reason"),
    [
        (Memory(0.5, 0, None), 0, None),
        (Memory(0.39, 0, "normal"), 0, "61% of memory is in use, above 60%"),
        (Memory(0.9, 0, "critical"), 0, "memory pressure is critical"),
        (Memory(0.9, 0, "normal"), 50 * 2**20, "50 MB were swapped out in the last second"),
    ],
)
def test_memory_is_short_by_use_by_pressure_and_by_swapping(
    found: Memory, swapped: int, reason: str | None
) -> None:
    assert short(found, 0.6, swapped) == reason


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="of CPU"):
        CpuLimiter(share)


@posix
@pytest.mark.slow
def test_any_code_in_the_block_is_paused() -> None:
    # A tenth of one core: whatever the neighbours do, this much is free.
    share = 0.1 / machine_load.cores()
    with CpuLimiter(share) as held:
        began = time.monotonic()
        burn(0.3)
        while time.monotonic() - began < 1:
            pass
        wall = time.monotonic() - began
    assert held.state().paused > 0.3
    assert wall >= 1
    assert signal.getsignal(signal.SIGURG) in (signal.SIG_DFL, signal.SIG_IGN)


@posix
@pytest.mark.slow
def test_a_child_is_paused_too_and_always_set_going_again() -> None:
    states = set()
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    watched = psutil.Process(child.pid)
    over = threading.Event()

    def watch() -> None:  # this thread goes on while the main one is paused
        while not over.wait(0.02):
            states.add(watched.status())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with CpuLimiter(0.05 / machine_load.cores()) as held:
            until = time.monotonic() + 30
            while held.state().paused < 0.5 and time.monotonic() < until:
                time.sleep(0.01)
        assert psutil.STATUS_STOPPED in states
        assert watched.status() != psutil.STATUS_STOPPED
    finally:
        over.set()
        watcher.join()
        child.kill()
        child.wait()
