"""The CPU time of the ended children of another process on macOS, which psutil does not read.

The kernel adds a child's times, and those of its own children, to its parent's when the parent waits for it
(``update_rusage_info_child`` in XNU's kern_resource.c), and libproc's ``proc_pid_rusage`` reads the sum:
https://github.com/apple-oss-distributions/xnu, bsd/sys/resource.h, ``struct rusage_info_v1``. The times are
in ticks of the machine's timer, also under Rosetta (https://github.com/osquery/osquery/issues/7459,
https://github.com/giampaolo/psutil/pull/2728).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from metalassay.machine import macos

_FLAVOR = 1  # RUSAGE_INFO_V1
_LAYOUT = struct.Struct("=16s16Q")  # ri_uuid, then ri_user_time, ri_system_time, ...
_OWN, _ENDED = slice(1, 3), slice(11, 13)  # user and system time; ri_child_user_time and the next
_SECONDS, _SHARE = 0.02, 0.1  # by which two clocks of one process may differ, together


def parse(record: bytes, ticks_per_second: int) -> tuple[float, float]:
    """Return the CPU seconds of a process and those of its ended children."""
    fields = _LAYOUT.unpack_from(record)
    return sum(fields[_OWN]) / ticks_per_second, sum(fields[_ENDED]) / ticks_per_second


def reader(library: Any = None) -> Callable[[int], float] | None:
    """Return what reads the seconds of a process's ended children, given its pid; None where nothing can.

    It is used only if the same record of this process has the CPU time that Python's clock has: a wrong unit
    would be wrong by a factor of 42. A process that cannot be read counts with 0, as one of another user.
    """
    if sys.platform != "darwin":
        return None
    frequency = macos.sysctl("hw.tbfrequency") or ""
    if not frequency.isdecimal() or not int(frequency):
        return None
    try:
        read = (library or ctypes.CDLL(None)).proc_pid_rusage
    except (OSError, AttributeError):
        return None
    ticks = int(frequency)

    def seconds(pid: int) -> tuple[float, float] | None:
        record = ctypes.create_string_buffer(2 * _LAYOUT.size)
        failed = read(ctypes.c_int(pid), ctypes.c_int(_FLAVOR), record)
        return None if failed else parse(record.raw, ticks)

    def ended(pid: int) -> float:
        found = seconds(pid)
        return found[1] if found else 0.0

    mine, expected = seconds(os.getpid()), time.process_time()
    if mine is None or abs(mine[0] - expected) > _SECONDS + _SHARE * expected:
        return None
    return ended
