"""The monitor: the rows that it writes for any program, and the files that it refuses."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from run_options import options

from metalassay.errors import UserError
from metalassay.machine import gpu_load, hardware, macos
from metalassay.supervise import command, launcher, monitor, monitor_log
from metalassay.supervise.machine_load import cores
from metalassay.supervise.monitor import Monitor, MonitorFile

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")


def write(path: Path, rows: int, append: bool = False, paused: list[float] | None = None) -> None:
    """Let a monitor write ``rows`` rows."""
    before = path.read_bytes().count(b"\n") if path.exists() else 0
    seconds = paused or [0.0]
    with Monitor(path, 0.03, paused=lambda: seconds[0], append=append):
        deadline = time.monotonic() + 30
        while path.read_bytes().count(b"\n") < before + 1 + rows and time.monotonic() < deadline:
            time.sleep(0.01)
            seconds[0] += 1 if paused else 0


def test_what_a_monitor_writes_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "cpu.jsonl"
    write(path, 3)
    log = monitor_log.read(path)
    assert log.machine == hardware.probe()
    assert log.every == 0.03
    assert "metalassay" in log.versions
    assert abs((datetime.now(UTC) - log.started).total_seconds()) < 600
    assert len(log.rows) >= 3
    assert not log.torn
    for row in log.rows:
        assert 0 < row.memory_free_percent < 100
        assert row.swap_bytes >= 0
        assert not row.throttled
    assert [row.t for row in log.rows] == sorted({row.t for row in log.rows})


def test_the_program_holds_the_memory_of_this_process_or_only_that_of_its_children(
    tmp_path: Path,
) -> None:
    write(tmp_path / "own", 1)
    [*_, own] = monitor_log.read(tmp_path / "own").rows
    assert own.program_memory_bytes is not None
    assert psutil.Process().memory_info().rss / 2 < own.program_memory_bytes
    code = "held = b'x' * (100 * 2**20); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        with Monitor(tmp_path / "below", 0.1, include_self=False):
            time.sleep(1)
        child.communicate(b"\n")
    below = [row.program_memory_bytes or 0 for row in monitor_log.read(tmp_path / "below").rows]
    assert 100 * 2**20 < max(below) < 200 * 2**20


def test_a_row_of_a_mac_tells_what_it_compresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macos, "compressed", lambda: 2**20)
    assert monitor.row(0.5, 5)["compressed_bytes"] == 2**20
    monkeypatch.setattr(macos, "compressed", lambda: None)
    assert "compressed_bytes" not in monitor.row(0.5, 5)


def test_a_row_tells_how_busy_the_gpu_is_where_one_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_load, "read", lambda: 87.0)
    assert monitor.row(0.5, 5)["gpu_percent"] == 87.0
    monkeypatch.setattr(gpu_load, "read", lambda: None)
    assert "gpu_percent" not in monitor.row(0.5, 5)


def test_a_row_is_throttled_if_the_program_was_paused(tmp_path: Path) -> None:
    write(tmp_path / "log", 2, paused=[0.0])
    assert all(row.throttled for row in monitor_log.read(tmp_path / "log").rows)


def test_a_log_is_not_overwritten_but_can_be_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 2)
    with pytest.raises(UserError, match="already exists"):
        write(path, 1)
    path.write_bytes(path.read_bytes()[:-10])  # as a kill would leave it
    torn = monitor_log.read(path)
    assert torn.torn
    write(path, 2, append=True)
    log = monitor_log.read(path)
    assert not log.torn
    assert len(log.rows) >= len(torn.rows) + 2
    assert log.rows[: len(torn.rows)] == torn.rows


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/log", "cannot write .*Not a directory"),
        ("no/such/log", "the folder .*such does not exist"),
        ("folder", "is a folder"),
    ],
)
@pytest.mark.parametrize("append", [False, True])
def test_a_log_that_cannot_be_written_is_an_error_and_creates_no_file(
    name: str, message: str, append: bool, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=message), Monitor(tmp_path / name, 1, append=append):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_file_that_no_monitor_wrote_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("my notes")
    with pytest.raises(UserError, match="not a monitor log"):
        write(tmp_path / "notes", 1, append=True)
    assert (tmp_path / "notes").read_text() == "my notes"


def test_a_disk_without_room_for_the_header_gets_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(monitor: MonitorFile, line: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MonitorFile, "_write", full)
    with pytest.raises(UserError, match="No space"), Monitor(tmp_path / "log", 1):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_an_interval_of_zero_or_more_than_a_day_is_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than 0 s and at most one day"):
        Monitor(tmp_path / "log", seconds)


def test_every_row_looks_for_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[float] = []

    def children(process: psutil.Process, recursive: bool) -> list[psutil.Process]:
        searches.append(time.monotonic())
        return []

    monkeypatch.setattr(psutil.Process, "children", children)
    write(tmp_path / "log", 4)
    assert len(searches) >= 5  # one per row, and one at the start


def test_a_full_disk_ends_the_log_but_not_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []

    def full() -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(psutil, "swap_memory", full)
    with Monitor(tmp_path / "log", 0.01, notify=messages.append):
        deadline = time.monotonic() + 30
        while not messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert messages == [f"{tmp_path / 'log'} ends here: No space left on device"]


def test_a_log_that_somebody_removed_is_said_to_end(tmp_path: Path) -> None:
    messages: list[str] = []
    with Monitor(tmp_path / "log", 0.01, notify=messages.append):
        (tmp_path / "log").unlink()
        deadline = time.monotonic() + 30
        while not messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert messages == [f"{tmp_path / 'log'} ends here: No such file or directory"]


@posix
@pytest.mark.slow
def test_the_monitor_watches_any_command(tmp_path: Path) -> None:
    path = tmp_path / "log"
    monitored = [
        sys.executable,
        "-m",
        "metalassay",
        "run",
        "--monitor",
        str(path),
        "--every",
        "0.1",
    ]
    code = "import time; time.sleep(1)"
    assert subprocess.run([*monitored, "--", sys.executable, "-c", code]).returncode == 0
    assert len(monitor_log.read(path).rows) >= 3
    again = subprocess.run([*monitored, "--", sys.executable], capture_output=True, text=True)
    assert again.returncode == 2
    assert "already exists" in again.stderr


@posix
@pytest.mark.slow
def test_a_busy_program_of_one_thread_has_at_most_one_core(tmp_path: Path) -> None:
    monitored = [sys.executable, "-m", "metalassay", "run", "--monitor", str(tmp_path / "log")]
    code = "import time; until = time.time() + 2\nwhile time.time() < until: pass"
    subprocess.run([*monitored, "--every", "0.3", "--", sys.executable, "-c", code], check=True)
    own = [row.own_cpu_percent or 0 for row in monitor_log.read(tmp_path / "log").rows]
    assert len(own) >= 4
    assert 0 < max(own) <= 110 / cores()


@posix
@pytest.mark.parametrize("log", ["no/log", "."])
def test_no_program_is_started_without_its_log(tmp_path: Path, log: str) -> None:
    with pytest.raises(UserError, match=r"does not exist|is a folder"):
        command.run(options(sys.executable, "-c", "", monitor=tmp_path / log))
    assert not list(tmp_path.iterdir())


@posix
def test_the_monitor_of_a_command_does_not_count_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    class Recorder(contextlib.nullcontext[None]):
        def __init__(self, path: Path, seconds: float, **others: object) -> None:
            super().__init__()
            given.update(others)

    monkeypatch.setattr(launcher, "Monitor", Recorder)
    assert command.run(options(sys.executable, "-c", "", monitor=tmp_path / "log")) == 0
    assert given["include_self"] is False
