"""Randomise the heap layout of each process, so that no comparison depends on one layout.

The addresses of allocations decide how well caches work and how often the C library returns memory to
the system: they accounted for 15 % of a CNN's step. Forked processes would inherit their parent's heap,
so all processes of an arm would share one layout, whose effect no interval could separate from a
difference between the arms. The approach is that of Stabilizer (Curtsinger and Berger, ASPLOS 2013).
"""

from __future__ import annotations

import ctypes
import random


class HeapRandomisation:
    """Memory blocks of random sizes, some of which are reallocated before each timing.

    They live as long as the process. Their contents are never touched, so they displace no cache line.
    """

    # Smaller than 128 KiB: larger blocks glibc maps, and adjusts its thresholds when they are freed.
    PIECES, MOVED, SMALLEST, LARGEST = 64, 8, 16, 100_000

    def __init__(self) -> None:
        self._chance = random.Random()  # noqa: S311  (seeded by the system: a fork inherits the module's generator)
        self._take = ctypes.pythonapi.PyMem_RawMalloc
        self._take.restype, self._take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self._give = ctypes.pythonapi.PyMem_RawFree
        self._give.restype, self._give.argtypes = None, [ctypes.c_void_p]
        self._pieces: list[int | None] = [None] * self.PIECES
        for place in range(self.PIECES):
            self._move(place)
        for place in range(0, self.PIECES, 2):  # leave holes between them
            self._give(self._pieces[place])
            self._pieces[place] = None

    def shuffle(self) -> None:
        """Reallocate some of the blocks."""
        for place in self._chance.sample(range(self.PIECES), self.MOVED):
            self._move(place)

    def _move(self, place: int) -> None:
        self._give(self._pieces[place])  # does nothing for None
        self._pieces[place] = self._take(self._chance.randrange(self.SMALLEST, self.LARGEST))
