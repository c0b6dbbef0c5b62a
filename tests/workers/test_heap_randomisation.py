"""Memory that lies about: of its own in each process, never the same for long, and never growing."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys

import psutil
import pytest

from metalassay.workers import heap_randomisation


def where_a_piece_comes_to_lie() -> int:
    take = ctypes.pythonapi.PyMem_RawMalloc
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    return int(take(50_000))


def in_forks(number: int, *, litter: bool) -> list[int]:
    """Return where a piece comes to lie in each of so many processes forked from this one."""
    pipes = [
        os.pipe() for _ in range(number)
    ]  # first, as this process's own heap is to stand still
    children = []
    for _, theirs in pipes:
        children.append(os.fork())
        if children[-1] == 0:
            kept = heap_randomisation.Litter() if litter else None
            os.write(theirs, where_a_piece_comes_to_lie().to_bytes(8, "big"))
            os._exit(kept is None and litter)
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
def test_forked_processes_have_one_heap_without_litter_and_each_its_own_with_it() -> None:
    # Not always one: between two forks a thread of an earlier test may take some memory.
    assert len(set(in_forks(24, litter=False))) <= 3 < len(set(in_forks(24, litter=True)))


def test_what_is_stirred_lies_elsewhere_and_is_no_more_than_before() -> None:
    litter = heap_randomisation.Litter()
    for _ in range(200):
        litter.stir()
    places = set(litter._pieces)
    size = psutil.Process().memory_info().vms
    for _ in range(5_000):
        litter.stir()
    assert len(places & set(litter._pieces)) < litter.PIECES / 2
    assert psutil.Process().memory_info().vms - size < 2 * litter.PIECES * litter.LARGEST


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_touching_new_memory_counts_as_page_faults() -> None:
    before = heap_randomisation.page_faults()
    # Of the system's own: an allocator that keeps what was freed may have some, after other tests.
    with mmap.mmap(-1, 8_000_000) as kept:
        kept.write(os.urandom(8_000_000))
        assert heap_randomisation.page_faults() - before > 500
        assert (heap_randomisation.peak_rss() or 0) > len(kept)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_of_a_program_is_not_that_of_the_one_that_started_it() -> None:
    kept = bytearray(os.urandom(100_000_000))
    code = "from metalassay.workers import heap_randomisation as layout; print(layout.peak_rss())"
    assert int(subprocess.check_output([sys.executable, "-c", code])) < len(kept)
