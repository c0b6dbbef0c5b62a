"""Streams of datasets that are stopped and resumed: they must continue where they stopped."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from metalassay.environment import versions

if "datasets" not in versions.installed():
    pytest.skip("datasets is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow


def stream(**options: Any) -> Any:
    """Return a stream of rows {"i": 0}, {"i": 1}, … of 50 rows."""
    from datasets import Dataset

    rows = Dataset.from_dict({"i": list(range(50))}).to_iterable_dataset(**options)
    if not hasattr(rows, "state_dict"):
        pytest.skip("the streams of this datasets release cannot be resumed")
    return rows


def read(rows: Any, count: int) -> list[int]:
    return [row["i"] for row in islice(rows, count)]


def resumed(before: Any, after: Any) -> Any:
    """Return the stream ``after``, set to the position at which ``before`` stopped."""
    after.load_state_dict(before.state_dict())
    return after


@pytest.mark.bug("datasets-second-resume-restarts", symptom="restarts")
def test_a_second_resume_continues_where_the_first_stopped(upstream: str) -> None:
    first = stream(num_shards=3)
    assert read(first, 2) == [0, 1]
    second = resumed(first, stream(num_shards=3))
    assert read(second, 5) == [2, 3, 4, 5, 6]
    got = read(resumed(second, stream(num_shards=3)), 2)
    assert got == [7, 8], f"the second resume gave rows {got}, not [7, 8]"


def rows_after_a_resume(make: Any) -> list[int]:
    first = make()
    assert read(first, 3) == [0, 1, 2]
    return read(resumed(first, make()), 2)


@pytest.mark.bug("datasets-map-resume-skips", symptom="skips")
def test_a_mapped_stream_continues_where_it_stopped(upstream: str) -> None:
    got = rows_after_a_resume(lambda: stream().map(lambda row: {"j": row["i"]}))
    assert got == [3, 4], f"after a resume the mapped stream gave rows {got}, not [3, 4]"


@pytest.mark.bug("datasets-filter-resume-skips", symptom="skips")
def test_a_filtered_stream_continues_where_it_stopped(upstream: str) -> None:
    got = rows_after_a_resume(lambda: stream().filter(lambda row: row["i"] >= 0))
    assert got == [3, 4], f"after a resume the filtered stream gave rows {got}, not [3, 4]"
