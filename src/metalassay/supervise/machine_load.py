"""CPU time of this process and its children, and how short of memory the machine is."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

CHILDREN_EVERY = 1.0  # seconds between looking for new children, which reads the process table


class CpuClock:
    """Counts CPU seconds of this process, its threads, and its children, living and ended.

    Of the children alone if not ``own``. New children are looked for every ``look`` seconds; a share
    that is taken more often is charged with all that a child did before it was found.
    """

    def __init__(self, *, own: bool = True, look: float = CHILDREN_EVERY) -> None:
        self._me, self._own, self._look = psutil.Process(), own, look
        self.ignored: int | None = None  # the number of a child that is none of the program's
        self._children: list[psutil.Process] = []
        self._looked = -float("inf")
        self._most = 0.0
        self._before = (time.monotonic(), self.seconds())

    def seconds(self) -> float:
        """Return CPU seconds since the process began; never less than before."""
        ended = os.times()
        total = ended.children_user + ended.children_system
        total += time.process_time() if self._own else 0.0
        for child in self.children():
            try:
                times = child.cpu_times()
            except psutil.Error:  # it ended; whoever waits for it counts its time
                continue
            total += times.user + times.system
            total += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        self._most = max(self._most, total)
        return self._most

    def children(self) -> list[psutil.Process]:
        """Return the descendants; the list is at most as old as seconds go between two looks."""
        now = time.monotonic()
        if now - self._looked >= self._look:
            self._looked = now
            with contextlib.suppress(psutil.Error):  # one vanished; the list before it stays
                found = self._me.children(recursive=True)
                self._children = [each for each in found if each.pid != self.ignored]
        return self._children

    def share(self) -> float:
        """Return the share of the whole machine's CPU time taken since the last call, 0 to 1.

        The system counts in hundredths of a second, so that a little more than all can come out: that
        is all.
        """
        now = (time.monotonic(), self.seconds())
        wall, used = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return min(used / wall / cores(), 1.0) if wall > 0 else 0.0


def cores() -> int:
    """Return the number of logical CPUs of the machine: what 100 % means."""
    return psutil.cpu_count() or 1


@dataclass(frozen=True)
class Memory:
    """``free`` is the part that programs could still get, 0 to 1; ``swapped_out`` in bytes so far.

    ``pressure`` is what the operating system says: "normal", "warning", "critical" or None.
    """

    free: float
    swapped_out: int
    pressure: str | None


def memory() -> Memory:
    """Return how short of memory the machine is."""
    virtual = psutil.virtual_memory()
    free = virtual.available / virtual.total
    return Memory(free, psutil.swap_memory().sout, pressure())


def pressure() -> str | None:
    """Return the operating system's own word on memory, None where it says nothing."""
    if sys.platform == "darwin":
        return macos_pressure()
    try:
        return linux_pressure(Path("/proc/pressure/memory").read_text("ascii"))
    except OSError:  # a kernel without PSI, a container that hides it, or another system
        return None


def linux_pressure(text: str) -> str | None:
    """Read pressure-stall information: how long some, or all, tasks waited for memory.

    Over 10 s: all tasks 10 % or more is "critical", some tasks 10 % "warning". Our thresholds;
    the kernel gives none (docs.kernel.org/accounting/psi.html).
    """
    shares = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" avg10=")
        if rest:
            shares[kind] = float(rest.split()[0])
    if not shares:
        return None
    if shares.get("full", 0) >= 10:
        return "critical"
    return "warning" if shares.get("some", 0) >= 10 else "normal"


def macos_pressure() -> str | None:
    """Ask sysctl kern.memorystatus_vm_pressure_level, the level that Activity Monitor colours by."""
    import ctypes

    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    name = b"kern.memorystatus_vm_pressure_level"
    libc = ctypes.CDLL(None)
    if libc.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0):
        return None
    return {1: "normal", 2: "warning", 4: "critical"}.get(value.value)
