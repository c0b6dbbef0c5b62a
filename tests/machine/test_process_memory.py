"""What is counted of this process's memory."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from metalassay.machine import process_memory


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_touching_new_memory_counts_as_page_faults() -> None:
    before = process_memory.page_faults()
    # Of the system's own: an allocator that keeps what was freed may have some, after other tests.
    with mmap.mmap(-1, 8_000_000) as kept:
        kept.write(os.urandom(8_000_000))
        assert process_memory.page_faults() - before > 500
        assert (process_memory.peak_rss() or 0) > len(kept)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_of_a_program_is_not_that_of_the_one_that_started_it() -> None:
    kept = bytearray(os.urandom(100_000_000))
    code = "from metalassay.machine import process_memory; print(process_memory.peak_rss())"
    assert int(subprocess.check_output([sys.executable, "-c", code])) < len(kept)
