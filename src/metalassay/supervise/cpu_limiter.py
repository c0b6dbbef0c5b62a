"""Hold a program to a share of the whole machine's CPU time, and off a machine short of memory.

A debt controller: the CPU time that this process and its children have used, minus what they were
allowed since, is paid back by pausing. What others use does not matter: a governor that looks at the
load of the machine starves beside any busy neighbour. A pause stops the main thread, and the children
with SIGSTOP; other threads of this process go on, and their time is paid for as well. Children are
looked for once a second; one that detaches itself from its parents (a daemon) is not found.

The children one by one, and not their process group: a group of its own would be in the terminal's
background, without Ctrl+C and standard input, and would still miss those who leave it.
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
from metalassay.supervise.watchdog import Sentinel

TICK = 0.1  # seconds between looks at the debt, if it cannot be due before
SOONEST = 0.02
PERIODS: tuple[float, ...] = (6.0, 5.0, 3.75, 3.0, 2.5, 2.0)
"""Seconds from the end of one pause to that of the next: the longest whose pause is ``BEARABLE``.

Each divides 30, so that whatever 30 seconds are looked at have whole periods, and so the share itself.
Long ones, as cores that slept do less for their CPU time for a few tenths of a second: at 70 % with
periods of 2.4 seconds a CPU second did 96.6 +- 0.8 % of what it does ungoverned, with six 99.3 +- 0.7 %
(two cores of a host that others share; `tools/cpu_limiter_accuracy.py --pairs 75 --period 2.4`).
"""
BEARABLE = 2.0  # seconds of pause at most, for who watches
LONGEST = 0.25  # seconds of one pause; the debt is looked at again after it
STUCK = 5.0  # seconds of pause in which a debt has to shrink; if not, other threads run it up
CREDIT = 1.0  # seconds of allowance that a program which waited may catch up on
MEMORY_EVERY = 1.0  # seconds between looks at memory
PATIENCE = 30.0  # seconds to wait for memory: pausing frees none of our own
SWAPPING = 16 * 2**20  # bytes swapped out between two looks that count as pressure
# Ignored by default, so one that comes late is harmless. 0 where there is none (Windows).
_WAKE: int = getattr(signal, "SIGURG", 0)


@dataclass(frozen=True)
class State:
    """Of a governor: seconds paused so far, and why it waits for memory, if it does."""

    paused: float
    memory: str | None


class CpuLimiter:
    """``with Governor(max_cpu=0.7): ...`` keeps the block to 70 % of the machine's CPU time.

    100 % is all logical CPUs, children count, and a program that can use less is never paused.
    ``max_memory`` is the part of the machine's memory in use by everyone above which it waits, as it
    does when the operating system reports pressure or swaps out; after ``PATIENCE`` seconds it goes
    on and says so. With ``signals`` a watching thread breaks into the main thread's Python code with
    SIGURG; without, call ``pace`` now and then. ``signals`` needs POSIX and the main thread. A pause
    ends when ``over`` says that there is nothing left to hold back. ``own`` is false where the children
    alone are to be held back, and what this process uses is not for them to pay.

    Raises ``UserError`` for a share that is not above 0 and at most 1.
    """

    def __init__(
        self,
        max_cpu: float = 1.0,
        max_memory: float = 1.0,
        *,
        say: Callable[[str], None] = lambda text: None,
        signals: bool = True,
        over: Callable[[], bool] = lambda: False,
        own: bool = True,
    ) -> None:
        for name, value in (("CPU", max_cpu), ("memory", max_memory)):
            if not 0 < value <= 1:
                raise UserError(
                    f"a limit of {100 * value:g} % of {name}", "ask for more than 0 and at most 100"
                )
        self.max_cpu, self.max_memory, self.say, self.over = max_cpu, max_memory, say, over
        self.signals = signals and _WAKE != 0
        self._allowed = max_cpu * cores()  # CPU seconds a second
        fitting = (each for each in PERIODS if each * (1 - max_cpu) <= BEARABLE)
        self._period = next(fitting, PERIODS[-1])
        # Pauses begin with this much debt and end with as much credit, so that there is none between.
        self._band = self._period * (1 - max_cpu) / 2
        self._clock = CpuClock(own=own)
        self._lock = threading.RLock()  # the handler may break into the main thread's own call
        self._paused = 0.0
        self._waits: str | None = None
        self._looked, self._swapped = -float("inf"), 0
        self._patience = PATIENCE
        self._in_pause = self._let_go = False
        self._stopped: list[psutil.Process] = []
        self._sentinel = Sentinel()
        self._stop = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._since, self._used = time.monotonic(), self._clock.seconds()
        self._origin = self._since
        self._schedule(self._since)

    def __enter__(self) -> CpuLimiter:
        self._begin()
        self._swapped = memory().swapped_out
        if self.signals:
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("enter a Governor in the main thread, or with signals=False")
            self._before = signal.signal(_WAKE, self._woken)
            self._thread = threading.Thread(target=self._watch, name="governor", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        if self.signals:
            self._thread.join()
            signal.signal(_WAKE, self._before)
        self._set_going()  # again, should a second Ctrl+C have broken into the first time
        self._sentinel.close()

    def let_go(self) -> None:
        """End the pause under way and forgive the debt: the program has a signal to answer."""
        # No more than this: the signal may have come while children are being stopped.
        self._let_go = self._in_pause

    def state(self) -> State:
        """Return what the governor has done so far."""
        return State(self._paused, self._waits)

    def debt(self) -> float:
        """Return how many seconds of pause would bring the program back to its share."""
        with self._lock:
            now, used = time.monotonic(), self._clock.seconds()
            debt = (used - self._used) / self._allowed - (now - self._since)
            if debt < -CREDIT:  # what was not used long ago is gone
                self._since, self._used, debt = now - CREDIT, used, -CREDIT
            return debt

    def due_in(self) -> float:
        """Return the seconds to the next look, below zero if a pause is due.

        It is when it would end with the period or later: sooner is no use, as pauses are to be few.
        """
        if self.max_cpu == 1:
            return TICK
        with self._lock:
            now, debt = time.monotonic(), self.debt()
            wait = debt + self._band
            if debt <= 0 and now >= self._end:  # after a pause, or where none was needed
                self._schedule(now)
            left = (self._end - now - wait) * self.max_cpu  # at most so fast does a debt grow
            return left if left < 0 < debt else min(max(left, SOONEST), TICK)

    def _schedule(self, now: float) -> None:
        """Find the end of the period under way, or of the next if less than half a run is left of it."""
        half = self._period * self.max_cpu / 2  # before the first one, too, there is half a run
        whole = math.ceil((now + 2 * half - self._origin) / self._period)
        self._end = self._origin + whole * self._period - half

    def pace(self) -> float:
        """Pause until the debt is paid and memory is there; return the seconds paused so far."""
        if self._in_pause:  # a signal came while paused
            return self._paused
        if self.due_in() < 0 or self._short_of_memory():
            self._pause()
        return self._paused

    def _pause(self) -> None:
        self._in_pause = True
        began = looked = time.monotonic()
        owed = self.debt() + self._band
        try:
            while not (self._stop.is_set() or self._let_go or self.over()):
                self._stop_children()
                wait = self.debt() + self._band
                if wait <= 0 and not self._short_of_memory():
                    break
                if time.monotonic() - looked > STUCK:
                    if wait > 0 and wait >= owed:
                        self._forgive()
                        break
                    looked, owed = time.monotonic(), wait
                time.sleep(min(max(wait, 0.001) if wait > 0 else LONGEST, LONGEST))
        finally:
            self._set_going()
            self._paused += time.monotonic() - began
            if self._let_go:
                with self._lock:
                    self._begin()
            self._in_pause = self._let_go = False

    def _stop_children(self) -> None:
        """Stop the children that are not stopped: all of them, then those found meanwhile."""
        known = {each.pid for each in self._stopped}
        found = [each for each in self._clock.children() if each.pid not in known]
        if not found:
            return
        self._stopped += found
        self._sentinel.stopped(each.pid for each in self._stopped)
        self._clock.ignored = self._sentinel.pid
        for child in found:
            with contextlib.suppress(psutil.Error):  # it has ended
                child.suspend()

    def _set_going(self) -> None:
        for child in self._stopped:
            with contextlib.suppress(psutil.Error):
                child.resume()
        if self._stopped:
            self._sentinel.stopped(())
        self._stopped = []

    def _forgive(self) -> None:
        """Let the main thread go on: what this process's other threads use, no pause pays back."""
        self.say(
            f"threads that cannot be paused use more than {self.max_cpu:.0%} of the machine;"
            " the limit does not hold"
        )
        with self._lock:
            self._begin()

    def _short_of_memory(self) -> bool:
        """Look at memory now and then; say why the program waits, and when it no longer does."""
        if self.max_memory == 1:
            return False
        now = time.monotonic()
        if now - self._looked < MEMORY_EVERY:
            return self._waits is not None
        since, self._looked = min(now - self._looked, MEMORY_EVERY), now
        found = memory()
        reason = short(found, self.max_memory, found.swapped_out - self._swapped)
        self._swapped = found.swapped_out
        if reason is None:
            self._patience = PATIENCE
        elif self._patience <= 0:
            reason = None  # it has waited; memory is not coming back
        else:
            self._patience -= since
            if self._patience <= 0:
                self.say(f"{reason}: waited {PATIENCE:g} s in vain, going on")
                reason = None
            elif self._waits is None:
                self.say(f"{reason}: waiting up to {PATIENCE:g} s")
        self._waits = reason
        return reason is not None

    def _watch(self) -> None:
        main = threading.main_thread().ident or 0
        while not self._stop.wait(max(self.due_in(), SOONEST)):
            look = self.max_memory < 1 and time.monotonic() - self._looked >= MEMORY_EVERY
            if not self._in_pause and (look or self.due_in() < 0):
                signal.pthread_kill(main, _WAKE)

    def _woken(self, number: int, frame: FrameType | None) -> None:
        self.pace()


def short(found: Memory, most: float, swapped: int) -> str | None:
    """Return why ``found`` is too little, None if it is not; ``swapped`` bytes since last asked."""
    if 1 - found.free > most:
        return f"{1 - found.free:.0%} of memory is in use, above {most:.0%}"
    if found.pressure in ("warning", "critical"):
        return f"memory pressure is {found.pressure}"
    if swapped > SWAPPING:
        return f"{swapped / 2**20:.0f} MB were swapped out in the last second"
    return None
