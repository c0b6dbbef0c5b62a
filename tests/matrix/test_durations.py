"""Recorded times, what is left of them, and a fair distribution over machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.matrix import durations, matrix_file

ROOT = Path(__file__).parents[2]
TIMES = {"a": 10.0, "b": 20.0, "c": 30.0}


def test_times_come_from_the_first_folder_that_has_the_row(tmp_path: Path) -> None:
    evidence = ROOT / durations.EVIDENCE
    name = next(evidence.glob("edge-*.json")).name
    record = json.loads((evidence / name).read_text("utf-8"))
    (tmp_path / name).write_text(json.dumps({**record, "seconds": 12345.0}), "utf-8")
    row = record["set"]["id"]
    assert durations.recorded([row, "nothing"], [tmp_path, evidence]) == {row: 12345.0}
    assert durations.recorded([row], [evidence]) == {row: record["seconds"]}


def test_a_damaged_file_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert durations.recorded(["a"], [tmp_path]) == {}


@pytest.mark.parametrize(
    ("rows", "jobs", "seconds"),
    [
        (["a", "b", "c"], 1, 60.0),
        (["c", "b", "a"], 2, 30.0),
        (["a", "unknown"], 1, 20.0),  # as long as the mean of those that are known
        (["unknown"], 1, None),
        ([], 1, 0.0),
    ],
)
def test_the_time_that_rows_will_take(rows: list[str], jobs: int, seconds: float | None) -> None:
    assert durations.estimate(rows, TIMES, jobs) == seconds


def test_shards_hold_every_row_once_and_end_together() -> None:
    rows = list(matrix_file.load(ROOT).rows)
    known = durations.recorded(rows, [ROOT / durations.EVIDENCE])
    shards = durations.shards(rows, known, 4)
    assert sorted(row for shard in shards for row in shard) == sorted(rows)
    times = [durations.estimate(shard, known) or 0.0 for shard in shards]
    # The greedy rule leaves a difference of at most the longest row.
    assert max(times) - min(times) <= max(known.values())
    assert all(shard == sorted(shard, key=rows.index) for shard in shards)


def test_more_shards_than_rows_leave_some_empty() -> None:
    shards = durations.shards(["a", "b"], TIMES, 3)
    assert sorted(map(len, shards)) == [0, 1, 1]
