"""The memory limit of a Linux control group, what is left of it, and how often the kernel killed for it.

A container's limit is one of these, and psutil tells the memory of the whole machine there. Version 2 is
described in https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.events), version 1 in
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_UNLIMITED = 2**60  # bytes; version 1 says "no limit" as the largest number of pages


@dataclass(frozen=True)
class Group:
    """A control group's folder, and the version of its files, 1 or 2."""

    folder: Path
    version: int

    def limit(self) -> int | None:
        """Return the limit in bytes, None if there is none."""
        value = _number(
            self.folder / ("memory.max" if self.version == 2 else "memory.limit_in_bytes")
        )
        return None if value is None or value >= _UNLIMITED else value

    def used(self) -> int | None:
        """Return the bytes in use, without file pages that the kernel can drop; None if unknown."""
        total = _number(
            self.folder / ("memory.current" if self.version == 2 else "memory.usage_in_bytes")
        )
        if total is None:
            return None
        inactive = "inactive_file" if self.version == 2 else "total_inactive_file"
        return max(total - _counts(self.folder / "memory.stat").get(inactive, 0), 0)

    def oom_kills(self) -> int | None:
        """Return how many of its processes the kernel has killed for memory; None if it does not tell."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _counts(self.folder / name).get("oom_kill")


def of(pid: int | str = "self", mounts: Path | None = None, proc: Path = _PROC) -> list[Group]:
    """Return the control groups of a process that account for memory, its own first, then those above.

    Empty where there are none: on another system, or if the process has ended. ``mounts`` is the list of
    mounted file systems, as in /proc/self/mountinfo.
    """
    if proc == _PROC and not _on_linux():
        return []
    mounts = mounts or proc / "self" / "mountinfo"
    try:
        lines = (proc / str(pid) / "cgroup").read_text("utf-8", "replace").splitlines()
        mounted = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    for version in (1, 2):  # where both are mounted, the memory is with version 1
        path = _path(lines, version)
        found = next((each for each in map(_mount, mounted) if each and each[0] == version), None)
        if path is None or found is None:
            continue
        _, root, point = found
        inside = Path(path.removeprefix(root).lstrip("/")) if path.startswith(root) else Path()
        folder = point / inside
        folders = [folder, *(above for above in folder.parents if above.is_relative_to(point))]
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        # The root group of version 2 has no limit, and no file for one.
        groups = [Group(each, version) for each in folders if (each / name).exists()]
        if groups:
            return groups
    return []


class Kills:
    """Counts the processes that the kernel kills for memory, in the groups of a process and elsewhere.

    A kill for the limit of a group counts in that group (in version 2 also in those above), and every kill
    in /proc/vmstat, which a container shares with its host.
    """

    def __init__(self, vmstat: Path | None = None) -> None:
        self._vmstat = vmstat or (_PROC / "vmstat" if _on_linux() else None)
        self._machine = self._of_machine()
        self._before: dict[Group, int] = {}

    def watch(self, groups: Iterable[Group]) -> None:
        """Count from now on in these groups too, but for those that are counted already."""
        for group in groups:
            if group not in self._before and (count := group.oom_kills()) is not None:
                self._before[group] = count

    def new(self) -> int | None:
        """Return how many processes were killed since the beginning; None where nothing tells."""
        found = [
            count - before
            for group, before in self._before.items()
            if (count := group.oom_kills()) is not None
        ]
        now = self._of_machine()
        if now is not None and self._machine is not None:
            found.append(now - self._machine)
        return max(found) if found else None

    def _of_machine(self) -> int | None:
        return _counts(self._vmstat).get("oom_kill") if self._vmstat else None


def _on_linux() -> bool:
    return sys.platform == "linux"


def _path(lines: list[str], version: int) -> str | None:
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if version == 1 and "memory" in controllers.split(","):
            return path
        if version == 2 and number == "0" and not controllers:
            return path
    return None


def _mount(line: str) -> tuple[int, str, Path] | None:
    """Return version, root and mount point of a line of mountinfo; None if it is of something else."""
    left, _, right = line.partition(" - ")
    fields, kind = left.split(), right.split()
    if len(fields) < 5 or len(kind) < 3:
        return None
    root, point = fields[3], Path(fields[4])
    if kind[0] == "cgroup2":
        return 2, root, point
    if kind[0] == "cgroup" and "memory" in kind[2].split(","):
        return 1, root, point
    return None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _counts(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
