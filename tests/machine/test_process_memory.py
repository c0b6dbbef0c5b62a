"""The page faults and the peak memory of this process."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from metalassay.machine import process_memory


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports no page faults")
def test_writing_to_new_memory_causes_page_faults() -> None:
    before = process_memory.page_faults()
    # Mapped by the system: an allocator may reuse memory that earlier tests freed.
    with mmap.mmap(-1, 8_000_000) as memory:
        memory.write(os.urandom(8_000_000))
        assert process_memory.page_faults() - before > 500
        assert (process_memory.peak_rss() or 0) > len(memory)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports no page faults")
def test_the_peak_of_a_program_does_not_include_its_parent() -> None:
    ballast = bytearray(os.urandom(100_000_000))
    code = "from metalassay.machine import process_memory; print(process_memory.peak_rss())"
    assert int(subprocess.check_output([sys.executable, "-c", code])) < len(ballast)
