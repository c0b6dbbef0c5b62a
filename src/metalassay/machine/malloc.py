"""The allocator's settings that change what is measured; only ever set when asked for, and recorded."""

from __future__ import annotations

import ctypes
import sys

from metalassay.errors import UserError

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def tune_malloc() -> None:
    """Make glibc keep freed memory for this process: no trimming, and no mapping of large blocks.

    By default glibc maps every large tensor anew and gives it back when it is freed, so that each
    step pays for tens of thousands of page faults. Keeping it was worth 1.19 to 1.53 times the
    throughput of training the CNN on the CPU of a Linux machine (batches of 8 to 256), and costs the
    memory that is kept; on another day it was worth 1.05 at a batch of 64. The same by environment, before the start: MALLOC_TRIM_THRESHOLD_=-1
    MALLOC_MMAP_MAX_=0. Raises ``UserError`` without glibc.
    """
    if not keep_freed_memory():
        raise UserError(
            "malloc can be tuned on Linux with glibc only", "leave malloc as it is by default"
        )


def keep_freed_memory() -> bool:
    """Do as ``tune_malloc`` where there is a glibc that agrees; return whether there is.

    Other C libraries, macOS's among them, keep large blocks by themselves.
    """
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if library is None or not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, -1)) and bool(library.mallopt(_MMAP_MAX, 0))
