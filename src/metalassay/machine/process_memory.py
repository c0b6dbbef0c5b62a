"""What the operating system counts of this process's memory: page faults, and the peak."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


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
