"""Which times of other projects are kept, and how the processes of one run are pooled."""

from __future__ import annotations

import json

import constructed_suites as made

from metalassay.results import parse
from metalassay.results.suite_file import SuiteFile, SuiteTime
from metalassay.results.suites import MOST_RUNS, SuiteResults

NAME = "bench/test_rows.py::test_sort"


def of_day(day: int, series: str | None = None, factor: float = 1.0) -> tuple[SuiteTime, ...]:
    rounds = tuple(factor * value for value in made.ROUNDS)
    document = made.assayed(
        made.M4, {NAME: rounds}, when=f"2026-11-{day:02}T10:00:00+00:00", series=series
    )
    found = parse.parse(json.dumps(document).encode(), f"{day}.json")
    assert isinstance(found, SuiteFile)
    return found.times


def test_the_newest_runs_are_kept_and_the_others_counted() -> None:
    results = SuiteResults()
    for day in (9, 1, 2, 3, 4, 5, 6, 7, 8):
        results.add(of_day(day))
    kept = [one.run.when.day for one in results.times()]
    assert kept == [9, 8, 7, 6, 5]
    assert len(kept) == MOST_RUNS
    assert results.older == 4


def test_the_processes_of_one_run_are_one_time() -> None:
    results = SuiteResults()
    for day, factor in ((1, 1.0), (2, 2.0), (3, 4.0)):
        results.add(of_day(day, "a1", factor))
    (one,) = results.times()
    assert one.processes == 3
    assert sorted(one.each) == [0.0021, 0.0042, 0.0084]
    assert (one.median, one.rounds, one.low) == (0.0042, 3, None)
    assert one.run.when.day == 3


def test_two_series_are_two_times() -> None:
    results = SuiteResults()
    for series in ("a1", "a2"):
        results.add(of_day(1, series))
        results.add(of_day(2, series))
    assert [one.processes for one in results.times()] == [2, 2]
