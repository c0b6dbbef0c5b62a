"""The memory of programs that really run, also with forked workers, and the room that they have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from metalassay.machine.control_group import Group
from metalassay.supervise import program_memory
from metalassay.supervise.program_memory import Room

MIB = 2**20
SIZE = 200 * MIB

# Fills memory, starts copies that only read it, and says so.
PROGRAM = r"""
import os, sys
held = bytearray(os.urandom(4096)) * (int(sys.argv[1]) // 4096)
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        held.count(1)
        os.write(1, b"ready\n")
        sys.stdin.read()
        os._exit(0)
os.write(1, b"ready\n")
sys.stdin.read()
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def started(size: int, workers: int) -> Iterator[list[psutil.Process]]:
    command = [sys.executable, "-c", PROGRAM, str(size), str(workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout
        for _ in range(workers + 1):
            assert program.stdout.readline().strip() == b"ready"
        process = psutil.Process(program.pid)
        yield [process, *process.children()]
        program.communicate(b"")


@pytest.fixture
def alone() -> Iterator[list[psutil.Process]]:
    yield from started(SIZE, 0)


@pytest.fixture
def forked() -> Iterator[list[psutil.Process]]:
    yield from started(SIZE, 4)


def test_the_memory_of_one_process(alone: list[psutil.Process]) -> None:
    assert SIZE < program_memory.of(alone) < SIZE + 100 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_what_forked_workers_share_counts_once(forked: list[psutil.Process]) -> None:
    assert len(forked) == 5
    assert SIZE < program_memory.of(forked) < 2 * SIZE
    assert sum(each.memory_info().rss for each in forked) > 5 * SIZE


def test_a_process_that_has_ended_counts_with_nothing(alone: list[psutil.Process]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(ended.pid)
    ended.wait()
    assert program_memory.of([process]) == 0
    both = program_memory.of([process, *alone])
    assert SIZE < both < SIZE + 100 * MIB
    assert program_memory.of([]) == 0


def told(pid: int, rss: int, shared: int = 0) -> Any:
    return SimpleNamespace(pid=pid, memory_info=lambda: SimpleNamespace(rss=rss, shared=shared))


def denied(pid: int) -> Any:
    def memory_info() -> None:
        raise psutil.AccessDenied(pid)

    return SimpleNamespace(pid=pid, memory_info=memory_info)


@linux
def test_where_the_kernel_tells_no_proportional_size_shared_files_count_once(
    tmp_path: Path,
) -> None:
    processes = [told(1, 100, 30), told(2, 80, 40), denied(3)]
    assert program_memory._on_linux(processes, tmp_path) == 70 + 40 + 40
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "smaps_rollup").write_text("head\nRss: 9 kB\nPss: 5 kB\nPss_Anon: 1 kB\n")
    assert program_memory._on_linux(processes, tmp_path) == 5 * 1024 + 40 + 40


def test_a_mac_tells_footprints_and_of_some_processes_only_the_resident_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    footprints: dict[int, int] = {1: 5000, 2: 700}
    monkeypatch.setattr(program_memory, "_footprints", lambda: footprints.get)
    assert program_memory.of([told(1, 10), told(2, 10), told(3, 10), denied(4)]) == 5710
    monkeypatch.setattr(program_memory, "_footprints", lambda: None)
    assert program_memory.of([told(1, 10), told(2, 11), denied(4)]) == 21


def group(folder: Path, limit: str, current: int, inactive: int = 0) -> Group:
    folder.mkdir()
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"inactive_file {inactive}\n")
    return Group(folder, 2)


def test_the_room_is_the_smallest_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(total=24 * 2**30, available=10 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    free = group(tmp_path / "free", "max", 5)
    small = group(tmp_path / "small", str(512 * MIB), 500 * MIB, inactive=100 * MIB)
    large = group(tmp_path / "large", str(20 * 2**30), 2**30)
    above = group(tmp_path / "above", str(2**40), 2**40)  # more than there is: it limits nothing
    gone = Group(tmp_path / "gone", 2)
    on_machine = Room(24 * 2**30, 10 * 2**30, "this machine's 24 GiB")
    assert program_memory.room([]) == on_machine
    assert program_memory.room([free, large, above, gone]) == on_machine
    limited = Room(512 * MIB, 112 * MIB, "the limit of 512 MiB of its control group")
    assert program_memory.room([free, large, small]) == limited
    full = group(tmp_path / "full", str(MIB), 2 * MIB)
    assert program_memory.room([small, full]).available == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 MiB"),
        (80_000, "78 KiB"),
        (512 * MIB, "512 MiB"),
        (24 * 2**30, "24 GiB"),
        (9.8 * 2**30, "9.8 GiB"),
        (200.4 * 2**30, "200 GiB"),
    ],
)
def test_sizes_as_people_say_them(count: float, text: str) -> None:
    assert program_memory.size(count) == text


def test_the_room_of_this_machine() -> None:
    room = program_memory.room([])
    assert 0 < room.available <= room.total == psutil.virtual_memory().total
