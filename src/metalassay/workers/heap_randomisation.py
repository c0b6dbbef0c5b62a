"""Where a process's memory lies: luck, drawn anew so that no comparison rests on one draw.

Where things lie decides how well caches serve them and how often the C library gives memory back to the
system: 15 % of a CNN's step hung on it. Forked processes would inherit one heap from their parent, and
so one and the same luck for each arm, which no interval could tell from a difference.
"""

from __future__ import annotations

import ctypes
import random


class HeapRandomisation:
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

    def shuffle(self) -> None:
        """Put some pieces elsewhere."""
        for place in self._chance.sample(range(self.PIECES), self.MOVED):
            self._move(place)

    def _move(self, place: int) -> None:
        self._give(self._pieces[place])  # nothing happens for None
        self._pieces[place] = self._take(self._chance.randrange(self.SMALLEST, self.LARGEST))
