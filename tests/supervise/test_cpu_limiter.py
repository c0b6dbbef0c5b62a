"""The CPU limiter: a program has its share however busy others are, and waits for memory."""

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
from metalassay.supervise.cpu_limiter import CpuLimiter, memory_shortage
from metalassay.supervise.machine_load import CpuClock, Memory

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP and no SIGURG")


class Machine:
    """A clock and a program that a test moves by hand; only the limiter sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.used, self.slept, self.sleeps = 100.0, 5.0, 0.0, 0
        self.memory = Memory(0.9, 0, "normal")
        self.monkeypatch = monkeypatch
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
def test_a_busy_program_has_its_share_in_any_thirty_seconds(machine: Machine, share: float) -> None:
    with CpuLimiter(share, signals=False) as limiter:
        began, used, pauses = machine.now, machine.used, []
        times = [(0.0, 0.0)]
        while machine.now - began < 100:
            step = max(limiter.due_in(), cpu_limiter.MIN_WAIT)
            machine.work(wall=step, cpu=4 * step)
            times.append((machine.now - began, machine.used - used))
            before = machine.slept
            limiter.pace()
            pauses += [machine.slept - before] if machine.slept > before else []
            times.append((machine.now - began, machine.used - used))
        assert limiter.state().paused == pytest.approx(machine.slept)
    at = np.arange(0, 100, 0.05)
    cumulative = np.interp(at, [wall for wall, _ in times], [cpu for _, cpu in times])
    window = round(30 / 0.05)
    assert (cumulative[window:] - cumulative[:-window]) / 30 / 4 == pytest.approx(share, abs=0.004)
    # Few and long, since a core is slow after it has slept, but not so long that they annoy.
    longest = min(cpu_limiter.MAX_PAUSE, 6 * (1 - share))
    assert 0.7 * longest < np.median(pauses) <= longest + 0.01
    assert max(pauses) < cpu_limiter.MAX_PAUSE + 0.5


def test_half_a_run_comes_before_the_first_pause_even_after_idling(
    machine: Machine,
) -> None:
    for idle in (0.0, 61.3):
        with CpuLimiter(0.7, signals=False) as limiter:
            if idle:
                machine.work(wall=idle, cpu=0)
                limiter.pace()
            before, busy = machine.slept, 0.0
            while machine.slept == before:
                machine.work(wall=0.02, cpu=0.08)
                busy += 0.02
                limiter.pace()
                assert limiter.due_in() <= 0.1  # memory and new children are checked as often
        if idle:  # a second of credit, and at most a period
            assert 1 / (1 / 0.7 - 1) < busy < 6
        else:
            assert busy == pytest.approx(0.7 * 6 / 2, abs=0.03)


def test_a_program_with_varying_load_has_its_share_over_time(machine: Machine) -> None:
    with CpuLimiter(0.7, signals=False) as limiter:
        began, used = machine.now, machine.used
        for second in range(300):
            cpu = 4 if second % 4 else 1.5  # without a limit it would use 84 % of the machine
            for _ in range(10):
                machine.work(wall=0.1, cpu=0.1 * cpu)
                limiter.pace()
        assert (machine.used - used) / (machine.now - began) / 4 == pytest.approx(0.7, abs=0.01)


def test_a_long_step_is_paid_for_as_soon_as_it_ends(machine: Machine) -> None:
    with CpuLimiter(0.7, signals=False) as limiter:
        began, used = machine.now, machine.used
        for _ in range(20):
            machine.work(wall=9, cpu=36)
            limiter.pace()
            assert limiter.debt() <= 0
        assert (machine.used - used) / (machine.now - began) / 4 == pytest.approx(0.7, abs=0.01)


def test_a_limit_of_memory_alone_never_pauses_for_the_cpu(machine: Machine) -> None:
    with CpuLimiter(max_memory=0.6, signals=False) as limiter:
        for _ in range(100):
            machine.work(wall=0.1, cpu=0.41)  # clocks do not agree to the last digit
            limiter.pace()
    assert machine.slept == 0


def test_a_program_below_its_share_is_never_paused_on_a_busy_machine(
    machine: Machine,
) -> None:
    with CpuLimiter(0.7, signals=False) as limiter:
        for _ in range(100):
            machine.work(wall=0.1, cpu=0.27)
            limiter.pace()
    assert machine.slept == 0


def test_a_program_that_waited_may_catch_up_on_one_second(machine: Machine) -> None:
    with CpuLimiter(0.5, signals=False) as limiter:
        machine.work(wall=60, cpu=0)
        limiter.pace()
        machine.work(wall=1, cpu=4)  # allowed: 2 in this second, and 2 for the one before
        limiter.pace()
        assert machine.slept == 0
        machine.work(wall=1, cpu=4)
        limiter.pace()
        # All of the debt, and on to half a pause of credit.
        assert machine.slept == pytest.approx(1 + 3.75 * (1 - 0.5) / 2, abs=0.002)


def test_a_debt_that_grows_during_a_pause_is_forgotten_and_reported(machine: Machine) -> None:
    messages: list[str] = []
    with CpuLimiter(0.1, signals=False, notify=messages.append) as limiter:
        machine.work(wall=0.2, cpu=0.8)
        real = machine.sleep

        def sleep(seconds: float) -> None:  # a thread that cannot be paused uses a whole core
            real(seconds)
            machine.used += seconds

        machine.monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
        assert cpu_limiter.STUCK < machine.slept < cpu_limiter.STUCK + 1
        assert len(messages) == 1
        assert "the limit does not hold" in messages[0]


def test_the_wait_for_memory_is_reported_once_and_then_given_up(machine: Machine) -> None:
    messages: list[str] = []
    with CpuLimiter(max_memory=0.6, signals=False, notify=messages.append) as limiter:
        limiter.pace()
        assert machine.slept == 0
        machine.memory = Memory(0.3, 0, "normal")
        machine.work(wall=2, cpu=0)
        limiter.pace()
        assert machine.slept == pytest.approx(cpu_limiter.PATIENCE, abs=2)
        assert len(messages) == 2
        assert messages[0] == "70% of memory is in use, above 60%: waiting up to 30 s"
        assert messages[1].endswith("in vain, continuing")
        before = machine.slept
        machine.work(wall=2, cpu=0)
        limiter.pace()
        assert machine.slept == before  # no second wait before memory was available again


def test_the_wait_ends_when_memory_is_available(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CpuLimiter(max_memory=0.6, signals=False) as limiter:
        machine.memory = Memory(0.9, 0, "warning")
        real = machine.sleep

        def sleep(seconds: float) -> None:
            real(seconds)
            if machine.slept > 3:
                machine.memory = Memory(0.9, 0, "normal")

        monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
        assert 3 < machine.slept < 5
        assert limiter.state().memory is None


def test_ending_a_pause_forgets_the_debt(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = CpuLimiter(0.5, signals=False)
    slept: list[float] = []
    used = [0.0]
    monkeypatch.setattr(limiter._clock, "seconds", lambda: used[0])
    monkeypatch.setattr(limiter._clock, "children", list)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 9, "the pause continued"
        limiter.end_pause()

    with limiter:
        used[0] = 1e6
        monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
        assert len(slept) == 1
        assert limiter.debt() <= 0
        limiter.end_pause()
        used[0] = 2e6
        assert limiter.debt() > 0
        limiter.pace()
        assert len(slept) == 1, "it was paused while it had a signal to handle"
        limiter._free_until = time.monotonic()  # that time is over
        limiter.pace()
        assert len(slept) == 2


def test_a_child_found_during_a_pause_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Child:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def suspend(self) -> None:
            sent.append((self.pid, "stop"))

        def resume(self) -> None:
            sent.append((self.pid, "continue"))

    sent: list[tuple[int, str]] = []
    children = [Child(1)]
    listed: list[list[int]] = []
    limiter = CpuLimiter(0.5, signals=False)
    used = [0.0]
    monkeypatch.setattr(limiter._clock, "seconds", lambda: used[0])
    monkeypatch.setattr(limiter._clock, "children", lambda: list(children))
    monkeypatch.setattr(limiter._watchdog, "set_stopped", lambda pids: listed.append(list(pids)))

    def sleep(seconds: float) -> None:
        children.append(Child(len(children) + 1))
        if len(children) == 4:
            limiter.end_pause()

    with limiter:
        used[0] = 1e6
        monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
    assert sent == [
        (1, "stop"),
        (2, "stop"),
        (3, "stop"),
        (1, "continue"),
        (2, "continue"),
        (3, "continue"),
    ]
    assert listed == [[1], [1, 2], [1, 2, 3], []]


@pytest.mark.parametrize(
    ("current", "swapped", "reason"),
    [
        (Memory(0.5, 0, None), 0, None),
        (Memory(0.39, 0, "normal"), 0, "61% of memory is in use, above 60%"),
        (Memory(0.9, 0, "critical"), 0, "memory pressure is critical"),
        (Memory(0.9, 0, "normal"), 50 * 2**20, "50 MB were swapped out in the last second"),
    ],
)
def test_memory_is_short_by_use_by_pressure_and_by_swapping(
    current: Memory, swapped: int, reason: str | None
) -> None:
    assert memory_shortage(current, 0.6, swapped) == reason


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="of CPU"):
        CpuLimiter(share)


@posix
@pytest.mark.slow
def test_any_code_in_the_block_is_paused() -> None:
    # A tenth of one core is free on any machine, however busy.
    share = 0.1 / machine_load.cores()
    with CpuLimiter(share) as limiter:
        began = time.monotonic()
        burn(0.3)
        while time.monotonic() - began < 1:
            pass
        wall = time.monotonic() - began
    assert limiter.state().paused > 0.3
    assert wall >= 1
    assert signal.getsignal(signal.SIGURG) in (signal.SIG_DFL, signal.SIG_IGN)


@posix
@pytest.mark.slow
def test_a_child_is_paused_too_and_continued_at_the_end() -> None:
    states = set()
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    watched = psutil.Process(child.pid)
    done = threading.Event()

    def watch() -> None:  # this thread runs while the main one is paused
        while not done.wait(0.02):
            states.add(watched.status())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with CpuLimiter(0.05 / machine_load.cores()) as limiter:
            until = time.monotonic() + 30
            while limiter.state().paused < 0.5 and time.monotonic() < until:
                time.sleep(0.01)
        assert psutil.STATUS_STOPPED in states
        assert watched.status() != psutil.STATUS_STOPPED
    finally:
        done.set()
        watcher.join()
        child.kill()
        child.wait()
