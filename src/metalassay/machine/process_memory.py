"""This process's page faults and peak memory, as the operating system counts them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def page_faults() -> int:
    """Return the number of minor page faults of this process so far; 0 on Windows, which reports none."""
    return 0 if sys.platform == "win32" else _usage()[1]


def peak_rss() -> int | None:
    """Return the peak resident memory of this process in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        # On Linux a program inherits getrusage's peak from the process that started it: getrusage(2).
        with contextlib.suppress(OSError), Path("/proc/self/status").open("rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    return _usage()[0]


def _usage() -> tuple[int, int]:
    """Return the peak resident memory in bytes and the number of minor page faults."""
    import resource  # not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    # macOS counts bytes, Linux KiB
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), used.ru_minflt
