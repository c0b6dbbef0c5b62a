"""The monitor's log: what is written is read back, whole or torn, and nothing is taken on trust."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from metalassay.errors import UserError
from metalassay.fields import FieldError
from metalassay.machine import hardware
from metalassay.supervise import monitor as monitoring
from metalassay.supervise import monitor_log as monitor
from metalassay.supervise.monitor import Monitor

HARDWARE = {"system": "Linux", "release": "6.1", "machine": "x86_64", "logical_cores": 2}
FIRST = {
    "schema": "metalassay.monitor/1",
    "started": "2026-11-21T10:00:00.000+00:00",
    "every": 5,
    "versions": {"torch": "2.13.0"},
    "hardware": HARDWARE,
}
ROW = {
    "t": 5.0,
    "time": "2026-11-21T10:00:05.000+00:00",
    "cpu_percent": 71.5,
    "own_cpu_percent": 69.9,
    "memory_free_percent": 40.0,
    "swap_bytes": 4096,
    "throttled": True,
}


def log(*lines: dict[str, Any] | str) -> bytes:
    texts = [line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines]
    return "".join(texts).encode()


def write(path: Path, rows: int, go_on: bool = False, paused: list[float] | None = None) -> None:
    """Let a monitor write ``rows`` more rows."""
    before = path.read_bytes().count(b"\n") if path.exists() else 0
    held = paused or [0.0]
    with Monitor(path, 0.03, paused=lambda: held[0], go_on=go_on):
        until = time.monotonic() + 30
        while path.read_bytes().count(b"\n") < before + 1 + rows and time.monotonic() < until:
            time.sleep(0.01)
            held[0] += 1 if paused else 0


def test_what_a_monitor_writes_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "cpu.jsonl"
    write(path, 3)
    found = monitor.read(path)
    assert found.machine == hardware.probe()
    assert found.every == 0.03
    assert "metalassay" in found.versions
    assert abs((datetime.now(UTC) - found.started).total_seconds()) < 600
    assert len(found.rows) >= 3
    assert not found.torn
    for row in found.rows:
        assert 0 < row.memory_free_percent < 100
        assert row.swap_bytes >= 0
        assert not row.throttled
    assert [row.t for row in found.rows] == sorted({row.t for row in found.rows})


def test_a_row_says_when_the_program_was_held_back(tmp_path: Path) -> None:
    write(tmp_path / "log", 2, paused=[0.0])
    assert all(row.throttled for row in monitor.read(tmp_path / "log").rows)


def test_both_sides_mean_the_same_schema() -> None:
    assert monitor.SCHEMA == monitoring.SCHEMA


def test_a_log_is_not_written_over_but_can_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 2)
    with pytest.raises(UserError, match="is there already"):
        write(path, 1)
    path.write_bytes(path.read_bytes()[:-10])  # as a kill leaves it
    torn = monitor.read(path)
    assert torn.torn
    write(path, 2, go_on=True)
    found = monitor.read(path)
    assert not found.torn
    assert len(found.rows) >= len(torn.rows) + 2
    assert found.rows[: len(torn.rows)] == torn.rows


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/log", "cannot write .*Not a directory"),
        ("no/such/log", "there is no folder .*such"),
        ("folder", "is a folder"),
    ],
)
@pytest.mark.parametrize("go_on", [False, True])
def test_a_log_that_cannot_be_written_is_an_error_and_nothing_is_made(
    name: str, said: str, go_on: bool, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=said), Monitor(tmp_path / name, 1, go_on=go_on):
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_what_no_monitor_wrote_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("all that I know")
    with pytest.raises(UserError, match="no monitor's log"):
        write(tmp_path / "notes", 1, go_on=True)
    assert (tmp_path / "notes").read_text() == "all that I know"


def test_a_first_line_without_room_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(monitor: Monitor, line: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Monitor, "_write", full)
    with pytest.raises(UserError, match="No space"), Monitor(tmp_path / "log", 1):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_rows_that_never_come_are_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than 0 s and at most a day"):
        Monitor(tmp_path / "log", seconds)


def test_children_are_looked_for_at_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def children(process: psutil.Process, recursive: bool) -> list[psutil.Process]:
        looks.append(time.monotonic())
        return []

    monkeypatch.setattr(psutil.Process, "children", children)
    write(tmp_path / "log", 4)
    assert len(looks) >= 5  # the first is where the counting begins


def test_a_full_disk_ends_the_log_and_not_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def full() -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(psutil, "swap_memory", full)
    with Monitor(tmp_path / "log", 0.01, say=said.append):
        until = time.monotonic() + 30
        while not said and time.monotonic() < until:
            time.sleep(0.01)
    assert said == [f"{tmp_path / 'log'} ends here: No space left on device"]


def test_a_torn_last_line_is_left_out_and_said() -> None:
    whole = monitor.parse(log(FIRST, ROW), "x")
    assert [row.t for row in whole.rows] == [5]
    assert whole.rows[0] == monitor.Row(
        5, datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC), 71.5, 69.9, 40, 4096, True
    )
    torn = monitor.parse(log(FIRST, ROW, json.dumps(ROW)[:30]), "x")
    assert torn.torn
    assert torn.rows == whole.rows
    # Cut off between a whole line and its newline: it may still be half a number.
    assert monitor.parse(log(FIRST, ROW, json.dumps(ROW)), "x").rows == whole.rows


def test_a_resumed_log_counts_on_from_its_first_start() -> None:
    later = {**FIRST, "started": "2026-11-21T11:00:00+00:00"}
    found = monitor.parse(log(FIRST, ROW, later, ROW), "x")
    assert [row.t for row in found.rows] == [5, 3605]
    assert found.started.hour == 10
    set_back = {**FIRST, "started": "2026-11-21T09:00:00+00:00"}
    assert [row.t for row in monitor.parse(log(FIRST, ROW, set_back, ROW), "x").rows] == [5, 10]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the first line"),
        (log(ROW), "line 1.schema is missing"),
        (log({**FIRST, "schema": "metalassay.monitor/2"}), "newer metalassay"),
        (log({**FIRST, "schema": "other/1"}), "expected metalassay.monitor/1"),
        (log({**FIRST, "hardware": {}}), "line 1.hardware.system is missing"),
        (log(FIRST, "{\n"), "line 2: not JSON"),
        (log(FIRST, "[" * 100_000 + "\n"), "line 2: not JSON"),
        (log(FIRST, "5\n"), "line 2: expected an object"),
        (b"\xff\n", "line 1: not JSON"),
        (log(FIRST, {**ROW, "cpu_percent": 250}), "line 2.cpu_percent"),
        (log(FIRST, {**ROW, "memory_free_percent": None}), "line 2.memory_free_percent"),
        (log(FIRST, {**ROW, "throttled": 1}), "line 2.throttled"),
        (log(FIRST, {**ROW, "time": "noon"}), "line 2.time"),
        (log(FIRST, ROW, {**ROW, "t": 4}), "line 3: t is less"),
        (log(FIRST, {**FIRST, "hardware": {**HARDWARE, "chip": "other"}}), "another machine"),
    ],
)
def test_what_is_no_log_is_refused_with_its_place(content: bytes, said: str) -> None:
    with pytest.raises(FieldError) as caught:
        monitor.parse(content, "x")
    assert said in str(caught.value)


def test_own_cpu_may_be_missing() -> None:
    row = {key: value for key, value in ROW.items() if key != "own_cpu_percent"}
    assert monitor.parse(log(FIRST, row), "x").rows[0].own_cpu_percent is None


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        monitor.read(tmp_path / "none")
