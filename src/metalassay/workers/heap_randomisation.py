"""Where a process's memory lies: luck, drawn anew so that no comparison rests on one draw.

Where things lie decides how well caches serve them and how often the C library gives memory back to the
system: 15 % of a CNN's step hung on it. Forked processes would inherit one heap from their parent, and
so one and the same luck for each arm, which no interval could tell from a difference.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from pathlib import Path


class Litter:
    """Pieces of memory that lie about at random, and are moved before each timing.

    They stay as long as the process; what they hold is never touched, so that no cache is.
    """

    # Below 128 KiB, from where on glibc maps memory and changes its thresholds when it is freed.
    PIECES, MOVED, SMALLEST, LARGEST = 64, 8, 16, 100_000

    def __init__(self) -> None:
        self._chance = random.Random()  # noqa: S311  (seeded by the system: a fork inherits the module's)
        self._take = ctypes.pythonapi.PyMem_RawMalloc
        self._take.restype, self._take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self._give = ctypes.pythonapi.PyMem_RawFree
        self._give.restype, self._give.argtypes = None, [ctypes.c_void_p]
        self._pieces: list[int | None] = [None] * self.PIECES
        for place in range(self.PIECES):
            self._move(place)
        for place in range(0, self.PIECES, 2):  # holes between them
            self._give(self._pieces[place])
            self._pieces[place] = None

    def stir(self) -> None:
        """Put some pieces elsewhere."""
        for place in self._chance.sample(range(self.PIECES), self.MOVED):
            self._move(place)

    def _move(self, place: int) -> None:
        self._give(self._pieces[place])  # nothing happens for None
        self._pieces[place] = self._take(self._chance.randrange(self.SMALLEST, self.LARGEST))


def page_faults() -> int:
    """Return how many pages this process was given so far without a disk; 0 where it is not told."""
    return 0 if sys.platform == "win32" else _usage()[1]


def peak_rss() -> int | None:
    """Return the most resident memory that this process has had, in bytes; None where it is not told."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        # What getrusage counts there, a program takes over from the one that started it (see getrusage(2)).
        with contextlib.suppress(OSError), Path("/proc/self/status").open("rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    return _usage()[0]


def _usage() -> tuple[int, int]:
    import resource  # not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    # macOS counts bytes, Linux KiB
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), used.ru_minflt
