"""Heap randomisation differs between processes, changes over time, and never grows."""

from __future__ import annotations

import ctypes
import os
import sys

import psutil
import pytest

from metalassay.workers.heap_randomisation import HeapRandomisation


def where_a_piece_comes_to_lie() -> int:
    take = ctypes.pythonapi.PyMem_RawMalloc
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    return int(take(50_000))


def in_forks(number: int, *, randomised: bool) -> list[int]:
    """Return where a piece comes to lie in each of so many processes forked from this one."""
    pipes = [
        os.pipe() for _ in range(number)
    ]  # first, as this process's own heap is to stand still
    children = []
    for _, theirs in pipes:
        children.append(os.fork())
        if children[-1] == 0:
            kept = HeapRandomisation() if randomised else None
            os.write(theirs, where_a_piece_comes_to_lie().to_bytes(8, "big"))
            os._exit(kept is None and randomised)
    places = []
    for child, (ours, theirs) in zip(children, pipes, strict=True):
        os.waitpid(child, 0)
        places.append(int.from_bytes(os.read(ours, 8), "big"))
        os.close(ours)
        os.close(theirs)
    return places


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks, as comparisons do on Linux"
)
def test_forked_processes_share_a_heap_layout_unless_it_is_randomised() -> None:
    # Not always one: between two forks a thread of an earlier test may take some memory.
    assert len(set(in_forks(24, randomised=False))) <= 3 < len(set(in_forks(24, randomised=True)))


def test_shuffling_moves_blocks_without_using_more_memory() -> None:
    heap = HeapRandomisation()
    for _ in range(200):
        heap.shuffle()
    places = set(heap._pieces)
    size = psutil.Process().memory_info().vms
    for _ in range(5_000):
        heap.shuffle()
    assert len(places & set(heap._pieces)) < heap.PIECES / 2
    assert psutil.Process().memory_info().vms - size < 2 * heap.PIECES * heap.LARGEST
