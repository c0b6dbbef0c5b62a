"""The memory limits of control groups of both versions, recorded and real."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalassay.machine import control_group


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The files of a process 7 in the group /outer/inner, of which /outer has a limit of 1 GiB."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    return tmp_path


def made(system: Path, version: int, root: str = "/") -> list[control_group.Group]:
    point = system / "mounted"
    names = (
        ("memory.max", "memory.current", "memory.events", "max")
        if version == 2
        else (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "memory.oom_control",
            "9223372036854771712",
        )
    )
    inner = point / ("outer/inner" if root == "/" else "inner")
    for folder, limit in ((inner, names[3]), (inner.parent, "1073741824")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text("600000000\n")
        (folder / names[2]).write_text("oom_kill_disable 0\nunder_oom 0\noom 4\noom_kill 3\n")
        stat = "inactive_file" if version == 2 else "total_inactive_file"
        (folder / "memory.stat").write_text(f"anon 5\n{stat} 100000000\n")
    line = "0::/outer/inner" if version == 2 else "4:memory:/outer/inner\n0::/"
    (system / "proc" / "7" / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    kind = "cgroup2 cgroup rw" if version == 2 else "cgroup cgroup rw,memory"
    mounts = system / "mountinfo"
    mounts.write_text(
        f"20 1 0:20 / /proc rw - proc proc rw\n30 1 0:30 {root} {point} rw shared:9 - {kind}\n"
    )
    return control_group.of(7, mounts, system / "proc")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("root", ["/", "/outer"])  # of a container, whose own group is mounted
def test_the_groups_of_a_process_with_limit_use_and_kills(
    system: Path, version: int, root: str
) -> None:
    groups = made(system, version, root)
    assert [group.folder.name for group in groups] == (
        ["inner", "outer"] if root == "/" else ["inner", "mounted"]
    )
    assert [group.limit() for group in groups] == [None, 2**30]
    assert [group.used() for group in groups] == [500_000_000] * 2
    assert [group.oom_kills() for group in groups] == [3, 3]


def test_a_process_that_has_ended_and_a_system_without_groups_have_none(tmp_path: Path) -> None:
    assert control_group.of(7, tmp_path / "no", tmp_path) == []
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("garbage\n:::\n")
    (tmp_path / "mounts").write_text("garbage\n - \n")
    assert control_group.of(7, tmp_path / "mounts", tmp_path) == []


def test_kills_are_counted_from_the_beginning_of_the_watch(system: Path) -> None:
    vmstat = system / "vmstat"
    vmstat.write_text("nr_free_pages 7\noom_kill 20\n")
    groups = made(system, 2)
    kills = control_group.Kills(vmstat)
    kills.watch(groups)
    assert kills.new() == 0
    (groups[0].folder / "memory.events").write_text("oom 9\noom_kill 5\n")
    kills.watch(groups)  # again: what happened meanwhile still counts
    assert kills.new() == 2
    vmstat.write_text("oom_kill 23\n")
    assert kills.new() == 3
    assert control_group.Kills(system / "no").new() is None


@contextlib.contextmanager
def real_group(limit: int) -> Iterator[Path]:
    top = control_group.of()
    if not top:
        pytest.skip("no control group accounts for memory here")
    root = top[-1].folder if top[-1].version == 1 else top[0].folder
    folder = root / f"metalassay-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        name = "memory.max" if top[0].version == 2 else "memory.limit_in_bytes"
        if not (folder / name).exists():
            pytest.skip("the memory controller is not delegated here")
        (folder / name).write_text(str(limit))
        yield folder
    finally:
        for _ in range(200):  # until its last process has left
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


def test_a_real_kill_for_memory_is_counted() -> None:
    with real_group(64 * 2**20) as folder:
        code = "held = []\nwhile True: held.append(bytearray(2**20))"
        enter = f"echo $$ > {folder}/cgroup.procs && exec {sys.executable} -c '{code}'"
        kinds = control_group.of()[0].version
        before = control_group.Group(folder, kinds).oom_kills()
        done = subprocess.run(["/bin/sh", "-c", enter], capture_output=True)
        if done.returncode == 2 and b"echo" in done.stderr:
            pytest.skip("no process may be moved into a control group here")
        assert done.returncode == -9
        group = control_group.Group(folder, kinds)
        assert group.limit() == 64 * 2**20
        assert (before, group.oom_kills()) == (0, 1)
