"""Measure the CPU time of this process and its children, and the machine's free memory."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from metalassay.machine import mac_rusage, macos

CHILDREN_EVERY = 1.0  # seconds between two searches for new children, which read the process table

PSUTIL_ADDS_UP = sys.platform not in ("darwin", "win32")
"""Whether psutil tells the CPU time of the ended children of *any* process. On macOS and Windows it is always 0
(https://psutil.readthedocs.io/en/latest/#psutil.Process.cpu_times): only what was seen running can count."""
_SEEN_EVERY = 0.25  # seconds between two searches there: what lives shorter may never be seen


class CpuClock:
    """Count the CPU seconds of this process, its threads, and its children, running and ended.

    With ``include_self=False`` only the children count. New children are looked for every
    ``look_every`` seconds; what a child used before it was found counts in the share that is taken next.

    Where psutil does not add up (``adds_up``), ``ended`` returns the seconds of the ended children of a pid. If
    it is None too, an ended process counts with what it had used when it was last seen, until the
    child of ours above it has been waited for: `os.times` has its whole time then. A grandchild that starts
    and ends between two looks is missed until then.
    """

    def __init__(
        self,
        *,
        include_self: bool = True,
        look_every: float | None = None,
        adds_up: bool = PSUTIL_ADDS_UP,
        ended: Callable[[int], float] | None = None,
    ) -> None:
        self._me, self._include_self = psutil.Process(), include_self
        self._ended = None if adds_up else ended or mac_rusage.reader()
        self._adds_up = adds_up = adds_up or self._ended is not None
        default = CHILDREN_EVERY if adds_up else _SEEN_EVERY
        self._look_every = default if look_every is None else look_every
        self.ignored: frozenset[int] = (
            frozenset()
        )  # pids of children that are not part of the program
        self._children: list[psutil.Process] = []
        # Seconds of each process that was seen, by the child of ours that it descends from. A signal handler
        # may call in the middle of any method, so dictionaries are replaced, and copied to walk over them.
        self._seen: dict[psutil.Process, dict[psutil.Process, float]] = {}
        self._roots: dict[psutil.Process, psutil.Process] = {}
        self._looked = -float("inf")
        self._most = 0.0
        self._before = (time.monotonic(), self.seconds())

    def seconds(self) -> float:
        """Return the CPU seconds used since the process began; never less than before."""
        ended = os.times()
        total = ended.children_user + ended.children_system
        total += time.process_time() if self._include_self else 0.0
        total += self._told() if self._adds_up else self._seen_below()
        self._most = max(self._most, total)
        return self._most

    def _told(self) -> float:
        """Return the seconds of the running descendants and of what has ended below them."""
        return told(self.children(), self._ended)

    def _seen_below(self) -> float:
        """Return the seconds of all descendants that were seen, below children that we have not waited for."""
        for child in self.children():
            root = self._roots.get(child)
            below = self._seen.get(root) if root else None
            if below is None:
                continue
            try:
                times = child.cpu_times()
            except psutil.ZombieProcess:  # nobody has waited for it yet, so os.times lacks it
                continue
            except psutil.NoSuchProcess:
                if child == root:
                    self._seen.pop(child, None)
                continue
            except psutil.AccessDenied:  # on macOS, that of another user, as under sudo
                continue
            below[child] = times.user + times.system
        return sum(sum(list(below.values())) for below in list(self._seen.values()))

    def _find_roots(self, descendants: list[psutil.Process]) -> None:
        """Find out from which of our children each new descendant comes; forget those waited for."""
        parents: dict[int, psutil.Process] = {child.pid: child for child in descendants}
        roots: dict[psutil.Process, psutil.Process] = {}

        def root(child: psutil.Process) -> psutil.Process | None:
            if child not in roots:
                known = self._roots.get(child)
                if known is None:
                    above = child.ppid()
                    parent = parents.get(above)
                    known = child if above == self._me.pid else root(parent) if parent else None
                if known is None:  # its parent has just ended
                    return None
                roots[child] = known
            return roots[child]

        for child in descendants:
            with contextlib.suppress(psutil.Error):  # it has just ended
                root(child)
        self._roots = roots
        self._seen = {
            first: self._seen.get(first, {}) for first in roots.values() if first in descendants
        }

    def children(self) -> list[psutil.Process]:
        """Return all descendants, from a list that is at most ``look_every`` seconds old."""
        now = time.monotonic()
        if now - self._looked >= self._look_every:
            self._looked = now
            with contextlib.suppress(psutil.Error):  # one has just ended; keep the previous list
                descendants = self._me.children(recursive=True)
                found = [child for child in descendants if child.pid not in self.ignored]
                if not self._adds_up:
                    self._find_roots(found)
                self._children = found
        return self._children

    def share(self) -> float:
        """Return the share of the whole machine's CPU time used since the last call, 0 to 1.

        The system counts in hundredths of a second, so the quotient may be slightly above 1; it is
        clipped.
        """
        now = (time.monotonic(), self.seconds())
        wall, used = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return min(used / wall / cores(), 1.0) if wall > 0 else 0.0


def told(processes: Iterable[psutil.Process], ended: Callable[[int], float] | None = None) -> float:
    """Return the CPU seconds of running processes and of what has ended below them.

    ``ended`` returns the latter where psutil does not add up.
    """
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except (
            psutil.Error
        ):  # it has ended, and its time is in that of its parent; or is another user's
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        if ended is not None:
            total += ended(process.pid)
    return total


def cores() -> int:
    """Return the number of logical CPUs of the machine, which is what 100 % means."""
    return psutil.cpu_count() or 1


@dataclass(frozen=True)
class Memory:
    """The memory of the machine: ``free`` is the part available to programs, 0 to 1.

    ``swapped_out`` counts bytes since boot, None if unknown. ``pressure`` is the operating system's own assessment:
    "normal", "warning", "critical", or None if it gives none.
    """

    free: float
    swapped_out: int | None
    pressure: str | None


def memory() -> Memory:
    """Return how short of memory the machine is."""
    return Memory(free_memory(), _swapped_out(), pressure())


def free_memory() -> float:
    """Return the part of the memory that is available to programs, 0 to 1; starts no process."""
    virtual = psutil.virtual_memory()
    return virtual.available / virtual.total


def _swapped_out() -> int | None:
    if sys.platform == "darwin":  # where psutil counts pages written to files
        moved = macos.swapped()
        return None if moved is None else moved[1]
    return int(psutil.swap_memory().sout)


def pressure() -> str | None:
    """Return the operating system's assessment of memory pressure, None if it gives none."""
    if sys.platform == "darwin":
        return _macos_pressure()
    try:
        return linux_pressure(Path("/proc/pressure/memory").read_text("ascii"))
    except OSError:  # a kernel without PSI, a container that hides it, or another system
        return None


def linux_pressure(text: str) -> str | None:
    """Parse pressure-stall information: the share of the last 10 s that tasks waited for memory.

    10 % or more for all tasks at once is "critical", for some of them "warning". The thresholds are
    ours; the kernel defines none (docs.kernel.org/accounting/psi.html).
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


def _macos_pressure() -> str | None:
    """Read sysctl kern.memorystatus_vm_pressure_level, which Activity Monitor colours its graph by."""
    import ctypes

    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    name = b"kern.memorystatus_vm_pressure_level"
    libc = ctypes.CDLL(None)
    if libc.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0):
        return None
    return {1: "normal", 2: "warning", 4: "critical"}.get(value.value)
