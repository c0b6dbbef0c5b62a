"""How much memory a program holds, and how much room the machine, or a container's limit, leaves."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from metalassay.machine import mac_rusage
from metalassay.machine.control_group import Group

_GIB = 2**30


@dataclass(frozen=True)
class Room:
    """The memory that a program can have, and what is left of it, in bytes.

    ``source`` says for people whose memory that is, such as "this machine's 24 GiB".
    """

    total: int
    available: int
    source: str


def of(processes: Iterable[psutil.Process]) -> int:
    """Return about how many bytes are freed if these processes end; one that cannot be read counts with 0.

    macOS: their footprints, which include compressed pages and Metal buffers. Linux: the resident memory of a
    single process; of several, their proportional set sizes, in which a page that forked processes share
    counts once. Reading those took 8 ms per GiB and process, so ask every few seconds, not more often. Linux
    does not tell the sizes of another user's processes: there what they share counts for each.
    """
    if sys.platform == "darwin":
        return sum(_of_each(processes, _on_macos(_footprints())))
    listed = list(processes)
    if sys.platform != "linux" or len(listed) < 2:
        return sum(_of_each(listed, lambda process: int(process.memory_info().rss)))
    return _on_linux(listed)


def room(groups: Iterable[Group]) -> Room:
    """Return the smallest room that a program has: that of the machine, or of one of its control groups."""
    memory = psutil.virtual_memory()
    rooms = [Room(memory.total, memory.available, f"this machine's {size(memory.total)}")]
    for group in groups:
        limit, used = group.limit(), group.used()
        if limit is not None and used is not None and limit < memory.total:
            source = f"the limit of {size(limit)} of its control group"
            rooms.append(Room(limit, max(limit - used, 0), source))
    return min(rooms, key=lambda each: each.available)


def size(count: float) -> str:
    """Return a number of bytes as people say it: "512 MiB", "9.8 GiB"."""
    if 0 < count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    if count < _GIB:
        return f"{count / 2**20:.0f} MiB"
    text = f"{count / _GIB:.1f}" if count < 100 * _GIB else f"{count / _GIB:.0f}"
    return f"{text.removesuffix('.0')} GiB"


def _of_each(
    processes: Iterable[psutil.Process], read: Callable[[psutil.Process], int]
) -> list[int]:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended, or belongs to another user
            found.append(read(process))
    return found


def _on_macos(
    footprint: Callable[[int], int | None] | None,
) -> Callable[[psutil.Process], int]:
    def read(process: psutil.Process) -> int:
        found = footprint(process.pid) if footprint else None
        return int(process.memory_info().rss) if found is None else found

    return read


@functools.cache
def _footprints() -> Callable[[int], int | None] | None:
    return mac_rusage.footprint_reader()


def _on_linux(processes: Iterable[psutil.Process], proc: Path = Path("/proc")) -> int:
    """Add up proportional set sizes, and where the kernel tells none, what is not shared with files.

    Resident memory alone would count what DataLoader workers share with their parent once for each.
    """
    total = shared = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found = _proportional(proc / str(process.pid) / "smaps_rollup")
            if found is None:
                memory = process.memory_info()
                found = memory.rss - memory.shared
                shared = max(shared, memory.shared)
            total += found
    return int(total + shared)


def _proportional(path: Path) -> int | None:
    """Return the proportional set size in bytes, None if the kernel does not tell."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:  # of another user, ended, or a kernel before 4.14
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024
    return None
