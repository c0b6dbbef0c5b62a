"""What macOS tells of another process and psutil does not read: its footprint, its ended children's CPU time.

The kernel adds a child's times, and those of its own children, to its parent's when the parent waits for it
(``update_rusage_info_child`` in XNU's kern_resource.c), and libproc's ``proc_pid_rusage`` reads the sum:
https://github.com/apple-oss-distributions/xnu, bsd/sys/resource.h, ``struct rusage_info_v1``. The times are
in ticks of the machine's timer, also under Rosetta (https://github.com/osquery/osquery/issues/7459,
https://github.com/giampaolo/psutil/pull/2728). The footprint is in bytes: what Activity Monitor calls a
process's memory, with its compressed pages and its Metal buffers (``task_vm_info``'s ``phys_footprint``).
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
_FOOTPRINT = 8  # ri_phys_footprint
_SECONDS, _SHARE = 0.02, 0.1  # by which two clocks of one process may differ, together


def parse(record: bytes, ticks_per_second: int) -> tuple[float, float]:
    """Return the CPU seconds of a process and those of its ended children."""
    fields = _LAYOUT.unpack_from(record)
    return sum(fields[_OWN]) / ticks_per_second, sum(fields[_ENDED]) / ticks_per_second


def footprint(record: bytes) -> int:
    """Return the footprint of a process in bytes."""
    return int(_LAYOUT.unpack_from(record)[_FOOTPRINT])


def footprint_reader(library: Any = None) -> Callable[[int], int | None] | None:
    """Return what reads a process's footprint in bytes, given its pid; None where nothing can.

    The reader returns None for a process that has ended or belongs to another user.
    """
    read = _function(library)
    if read is None:
        return None

    def of(pid: int) -> int | None:
        record = _record(read, pid)
        return None if record is None else footprint(record)

    return of if of(os.getpid()) else None


def reader(library: Any = None) -> Callable[[int], float] | None:
    """Return what reads the seconds of a process's ended children, given its pid; None where nothing can.

    It is used only if the same record of this process has the CPU time that Python's clock has: a wrong unit
    would be wrong by a factor of 42. A process that cannot be read counts with 0, as one of another user.
    """
    read = _function(library)
    if read is None:
        return None
    frequency = macos.sysctl("hw.tbfrequency") or ""
    if not frequency.isdecimal() or not int(frequency):
        return None
    ticks = int(frequency)

    def seconds(pid: int) -> tuple[float, float] | None:
        record = _record(read, pid)
        return None if record is None else parse(record, ticks)

    def ended(pid: int) -> float:
        found = seconds(pid)
        return found[1] if found else 0.0

    mine, expected = seconds(os.getpid()), time.process_time()
    if mine is None or abs(mine[0] - expected) > _SECONDS + _SHARE * expected:
        return None
    return ended


def _function(library: Any) -> Any:
    """Return ``proc_pid_rusage``, None where there is none."""
    if sys.platform != "darwin":
        return None
    try:
        return (library or ctypes.CDLL(None)).proc_pid_rusage
    except (OSError, AttributeError):
        return None


def _record(read: Any, pid: int) -> bytes | None:
    record = ctypes.create_string_buffer(2 * _LAYOUT.size)
    failed = read(ctypes.c_int(pid), ctypes.c_int(_FLAVOR), record)
    return None if failed else record.raw
