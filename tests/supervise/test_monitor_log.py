"""Reading the monitor's log: complete, cut off or resumed; every field is checked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.fields import FieldError
from metalassay.supervise import monitor_log

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


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    whole = monitor_log.parse(log(FIRST, ROW), "x")
    assert [row.t for row in whole.rows] == [5]
    assert whole.rows[0] == monitor_log.Row(
        5, datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC), 71.5, 69.9, 40, 4096, True
    )
    assert whole.rows[0].compressed_bytes is None
    torn = monitor_log.parse(log(FIRST, ROW, json.dumps(ROW)[:30]), "x")
    assert torn.torn
    assert torn.rows == whole.rows
    # Without its newline even a line of valid JSON may end in half a number.
    assert monitor_log.parse(log(FIRST, ROW, json.dumps(ROW)), "x").rows == whole.rows


def test_the_memory_of_a_program_and_what_a_mac_compresses_are_read() -> None:
    row = {**ROW, "program_memory_bytes": 2**30, "compressed_bytes": 2**20}
    [found] = monitor_log.parse(log(FIRST, row), "x").rows
    assert (found.program_memory_bytes, found.compressed_bytes) == (2**30, 2**20)
    assert found.gpu_percent is None
    assert monitor_log.parse(log(FIRST, {**row, "gpu_percent": 87}), "x").rows[0].gpu_percent == 87
    with pytest.raises(FieldError, match="gpu_percent"):
        monitor_log.parse(log(FIRST, {**row, "gpu_percent": 101}), "x")
    with pytest.raises(FieldError, match="compressed_bytes"):
        monitor_log.parse(log(FIRST, {**row, "compressed_bytes": -1}), "x")


def test_the_time_of_a_resumed_log_counts_from_its_first_start() -> None:
    later = {**FIRST, "started": "2026-11-21T11:00:00+00:00"}
    resumed = monitor_log.parse(log(FIRST, ROW, later, ROW), "x")
    assert [row.t for row in resumed.rows] == [5, 3605]
    assert resumed.started.hour == 10
    set_back = {**FIRST, "started": "2026-11-21T09:00:00+00:00"}
    assert [row.t for row in monitor_log.parse(log(FIRST, ROW, set_back, ROW), "x").rows] == [5, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line"),
        (log(ROW), "line 1.schema is missing"),
        (log({**FIRST, "schema": "metalassay.monitor/2"}), "newer metalassay"),
        (log({**FIRST, "schema": "other/1"}), "expected metalassay.monitor/1"),
        (log({**FIRST, "hardware": {}}), "line 1.hardware.system is missing"),
        (log(FIRST, "{\n"), "line 2: not JSON"),
        (log(FIRST, "[" * 100_000 + "\n"), "line 2: JSON that cannot be read"),
        (log(FIRST, "5\n"), "line 2: expected an object"),
        (b"\xff\n", "line 1: not UTF-8 text"),
        (log(FIRST, {**ROW, "cpu_percent": 250}), "line 2.cpu_percent"),
        (log(FIRST, {**ROW, "memory_free_percent": None}), "line 2.memory_free_percent"),
        (log(FIRST, {**ROW, "throttled": 1}), "line 2.throttled"),
        (log(FIRST, {**ROW, "time": "noon"}), "line 2.time"),
        (log(FIRST, ROW, {**ROW, "t": 4}), "line 3: t is smaller"),
        (log(FIRST, {**FIRST, "hardware": {**HARDWARE, "chip": "other"}}), "a different machine"),
    ],
)
def test_content_that_is_not_a_log_is_refused_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        monitor_log.parse(content, "x")
    assert message in str(caught.value)


def test_the_cpu_of_the_program_may_be_missing() -> None:
    row = {key: value for key, value in ROW.items() if key != "own_cpu_percent"}
    assert monitor_log.parse(log(FIRST, row), "x").rows[0].own_cpu_percent is None


def test_a_log_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        monitor_log.read(tmp_path / "none")
