"""Limit a program to a share of the whole machine's CPU time, and wait while memory is short.

A debt controller: the CPU time that this process and its children have used, minus what they were
allowed, is paid back by pausing. The load of other programs does not matter: a limiter that watches
the load of the machine starves the program beside any busy neighbour. A pause stops the main thread,
and the children with SIGSTOP; other threads of this process continue, and their time counts too.
Children are looked for once a second; one that detaches itself from its parents (a daemon) is missed.

Children are stopped one by one and not as a process group: a group of its own would run in the
terminal's background, without Ctrl+C and standard input, and would still miss those that leave it.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import psutil

from metalassay.errors import UserError
from metalassay.supervise.machine_load import CpuClock, Memory, cores, memory
from metalassay.supervise.watchdog import Watchdog

MAX_WAIT = 0.1  # seconds between two checks of the debt; fewer if a pause can be due before
MIN_WAIT = 0.02
PERIODS: tuple[float, ...] = (6.0, 5.0, 3.75, 3.0, 2.5, 2.0)
"""Seconds from the end of one pause to the end of the next; the first whose pause fits ``MAX_PAUSE``.

Each divides 30, so any window of 30 seconds has whole periods and exactly the share. Long periods are
better because a core that slept does less work per CPU second for a few tenths of a second: at 70 %, a
CPU second did 96.6 +- 0.8 % of its unlimited work with periods of 2.4 seconds, and 99.3 +- 0.7 % with
6 (two cores of a shared host; `tools/cpu_limiter_accuracy.py --pairs 75 --period 2.4`).
"""
MAX_PAUSE = 2.0  # seconds; a longer pause would annoy a person who watches
MAX_SLEEP = 0.25  # seconds; within a pause, the debt is checked again after this
STUCK = 5.0  # seconds of pause after which the debt must have shrunk, or other threads increase it
CREDIT = 1.0  # seconds of unused allowance that a program may catch up on after it has waited
MEMORY_EVERY = 1.0  # seconds between two checks of memory
PATIENCE = 30.0  # seconds to wait for memory: a paused program frees none of its own
HANDLING = 1.0  # seconds after a signal in which the program is not paused, to handle it, or to end
SWAPPING = 16 * 2**20  # bytes swapped out between two checks that count as pressure
# Ignored by default, so a late signal is harmless. 0 on Windows, which has none.
_WAKE: int = getattr(signal, "SIGURG", 0)


@dataclass(frozen=True)
class State:
    """What a limiter has done: seconds paused so far, and why it waits for memory, if it does."""

    paused: float
    memory: str | None


class CpuLimiter:
    """``with CpuLimiter(max_cpu=0.7): ...`` limits the block to 70 % of the machine's CPU time.

    100 % is all logical CPUs, children count, and a program that uses less is never paused.
    ``max_memory`` is the share of the machine's memory, used by all programs together, above which the
    limiter waits; it also waits while the operating system reports pressure or swaps out. After
    ``PATIENCE`` seconds it reports that and continues. With ``signals``, a thread interrupts the main
    thread's Python code with SIGURG, which needs POSIX and the main thread; without, call ``pace``
    often. A pause ends when ``finished`` returns true: nothing is left to pause. With
    ``include_self=False`` the limit applies to the children, and the time of this process is not
    counted. ``notify`` receives messages for the user.

    Raises ``UserError`` for a share that is not above 0 and at most 1.
    """

    def __init__(
        self,
        max_cpu: float = 1.0,
        max_memory: float = 1.0,
        *,
        notify: Callable[[str], None] = lambda text: None,
        signals: bool = True,
        finished: Callable[[], bool] = lambda: False,
        include_self: bool = True,
    ) -> None:
        for name, value in (("CPU", max_cpu), ("memory", max_memory)):
            if not 0 < value <= 1:
                raise UserError(
                    f"a limit of {100 * value:g} % of {name}", "choose more than 0 and at most 100"
                )
        self.max_cpu, self.max_memory = max_cpu, max_memory
        self.notify, self.finished = notify, finished
        self.signals = signals and _WAKE != 0
        self._allowed = max_cpu * cores()  # CPU seconds per second
        fitting = (period for period in PERIODS if period * (1 - max_cpu) <= MAX_PAUSE)
        self._period = next(fitting, PERIODS[-1])
        # A pause begins at this much debt and ends at the same amount of credit: 0 on average.
        self._band = self._period * (1 - max_cpu) / 2
        self._clock = CpuClock(include_self=include_self)
        self._lock = threading.RLock()  # the handler may interrupt a call in the main thread
        self._paused = 0.0
        self._memory_reason: str | None = None
        self._memory_checked = -float("inf")
        self._swapped: int | None = None
        self._patience = PATIENCE
        self._in_pause = self._end_requested = False
        self._free_until = -float("inf")
        self._stopped: list[psutil.Process] = []
        self._watchdog = Watchdog()
        self._others: frozenset[int] = frozenset()
        self._stop = threading.Event()
        self._reset()

    def _reset(self) -> None:
        self._since, self._used = time.monotonic(), self._clock.seconds()
        self._origin = self._since
        self._schedule(self._since)

    def __enter__(self) -> CpuLimiter:
        self._reset()
        self._swapped = memory().swapped_out
        if self.signals:
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("enter a CpuLimiter in the main thread, or with signals=False")
            self._previous_handler = signal.signal(_WAKE, self._handle_wake)
            self._thread = threading.Thread(target=self._watch, name="cpu-limiter", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        if self.signals:
            self._thread.join()
            signal.signal(_WAKE, self._previous_handler)
        self._continue_children()  # again, in case a second Ctrl+C interrupted the first call
        self._watchdog.close()

    def end_pause(self) -> None:
        """End the current pause and forget the debt: the program has ``HANDLING`` s to handle a signal."""
        # Only set a flag: the signal may arrive while children are being stopped.
        self._end_requested = self._in_pause
        self._free_until = time.monotonic() + HANDLING

    @property
    def ignored(self) -> frozenset[int]:
        """The pids of our children that are not part of the program, so never paused or counted."""
        own = self._watchdog.pid
        return self._others if own is None else self._others | {own}

    def ignore(self, *pids: int) -> None:
        """Leave out children that are not part of the program."""
        self._others |= set(pids)
        self._clock.ignored = self.ignored

    def state(self) -> State:
        """Return what the limiter has done so far."""
        return State(self._paused, self._memory_reason)

    def debt(self) -> float:
        """Return how many seconds of pause would bring the program back to its share; below 0: credit."""
        with self._lock:
            now, used = time.monotonic(), self._clock.seconds()
            debt = (used - self._used) / self._allowed - (now - self._since)
            if debt < -CREDIT:  # an allowance that was not used in time is lost
                self._since, self._used, debt = now - CREDIT, used, -CREDIT
            return debt

    def due_in(self) -> float:
        """Return the seconds until the next check; below 0 if a pause is due now.

        A pause is due when it would last to the end of the period or longer: that keeps pauses few.
        """
        if self.max_cpu == 1:
            return MAX_WAIT
        with self._lock:
            now, debt = time.monotonic(), self.debt()
            wait = debt + self._band
            if debt <= 0 and now >= self._end:  # after a pause, or if none was needed
                self._schedule(now)
            left = (self._end - now - wait) * self.max_cpu  # the debt cannot grow faster
            return left if left < 0 < debt else min(max(left, MIN_WAIT), MAX_WAIT)

    def _schedule(self, now: float) -> None:
        """Set the end of the current period, or of the next if less than half of the run is left."""
        half = self._period * self.max_cpu / 2  # half a run also comes before the first pause
        whole = math.ceil((now + 2 * half - self._origin) / self._period)
        self._end = self._origin + whole * self._period - half

    def pace(self) -> float:
        """Pause until the debt is paid and memory is available; return the seconds paused so far."""
        if self._in_pause or time.monotonic() < self._free_until:  # a signal interrupted a pause
            return self._paused
        if self.due_in() < 0 or self._short_of_memory():
            self._pause()
        return self._paused

    def _pause(self) -> None:
        self._in_pause = True
        began = checked = time.monotonic()
        debt_then = self.debt() + self._band
        try:
            while not (self._stop.is_set() or self._end_requested or self.finished()):
                self._stop_children()
                wait = self.debt() + self._band
                if wait <= 0 and not self._short_of_memory():
                    break
                if time.monotonic() - checked > STUCK:
                    if wait > 0 and wait >= debt_then:
                        self._give_up()
                        break
                    checked, debt_then = time.monotonic(), wait
                time.sleep(min(max(wait, 0.001) if wait > 0 else MAX_SLEEP, MAX_SLEEP))
        finally:
            self._continue_children()
            self._paused += time.monotonic() - began
            if self._end_requested:
                with self._lock:
                    self._reset()
            self._in_pause = self._end_requested = False

    def _stop_children(self) -> None:
        """Stop the children that are not stopped yet, including those found during the pause."""
        known = {child.pid for child in self._stopped}
        new = [child for child in self._clock.children() if child.pid not in known]
        if not new:
            return
        self._stopped += new
        self._watchdog.set_stopped(child.pid for child in self._stopped)
        self._clock.ignored = self.ignored
        for child in new:
            with contextlib.suppress(psutil.Error):  # it has ended
                child.suspend()

    def _continue_children(self) -> None:
        for child in self._stopped:
            with contextlib.suppress(psutil.Error):
                child.resume()
        if self._stopped:
            self._watchdog.set_stopped(())
        self._stopped = []

    def _give_up(self) -> None:
        """Continue and forget the debt: pausing cannot pay for the other threads of this process."""
        self.notify(
            f"threads that cannot be paused use more than {self.max_cpu:.0%} of the machine;"
            " the limit does not hold"
        )
        with self._lock:
            self._reset()

    def _short_of_memory(self) -> bool:
        """Return whether to wait for memory; report when the wait begins and when it is given up."""
        if self.max_memory == 1:
            return False
        now = time.monotonic()
        if now - self._memory_checked < MEMORY_EVERY:
            return self._memory_reason is not None
        since, self._memory_checked = min(now - self._memory_checked, MEMORY_EVERY), now
        current = memory()
        known = current.swapped_out is not None and self._swapped is not None
        swapped = (current.swapped_out or 0) - (self._swapped or 0) if known else 0
        reason = memory_shortage(current, self.max_memory, swapped)
        self._swapped = current.swapped_out
        if reason is None:
            self._patience = PATIENCE
        elif self._patience <= 0:
            reason = None  # it has waited long enough; no memory became free
        else:
            self._patience -= since
            if self._patience <= 0:
                self.notify(f"{reason}: waited {PATIENCE:g} s in vain, continuing")
                reason = None
            elif self._memory_reason is None:
                self.notify(f"{reason}: waiting up to {PATIENCE:g} s")
        self._memory_reason = reason
        return reason is not None

    def _watch(self) -> None:
        main = threading.main_thread().ident or 0
        while not self._stop.wait(max(self.due_in(), MIN_WAIT)):
            age = time.monotonic() - self._memory_checked
            check_memory = self.max_memory < 1 and age >= MEMORY_EVERY
            if not self._in_pause and (check_memory or self.due_in() < 0):
                signal.pthread_kill(main, _WAKE)

    def _handle_wake(self, number: int, frame: FrameType | None) -> None:
        self.pace()


def memory_shortage(current: Memory, limit: float, swapped: int) -> str | None:
    """Return why memory is short, None if it is not; ``swapped`` bytes since the last check."""
    if 1 - current.free > limit:
        return f"{1 - current.free:.0%} of memory is in use, above {limit:.0%}"
    if current.pressure in ("warning", "critical"):
        return f"memory pressure is {current.pressure}"
    if swapped > SWAPPING:
        return f"{swapped / 2**20:.0f} MB were swapped out in the last second"
    return None
