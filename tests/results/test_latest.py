"""The latest results of many files are those that the report shows, in whatever order they are read."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hand_made import largest

from metalassay.report.sections.benchmarks import latest
from metalassay.results import load
from metalassay.results.latest import SEARCHES, LatestResults
from metalassay.results.parse import Measurement
from metalassay.results.unfinished import Unfinished
from metalassay.results.verdict_file import Selection

DATA = Path(__file__).parents[1] / "data" / "runs"


def measured() -> list[Measurement]:
    return list(load.load([DATA / "constructed_benchmarks_m4.json"]).measurements)


def fleet() -> list[tuple[Measurement, ...]]:
    """Return the measurements of sixty files: two machines, alone and in series, at sixty times."""
    files = []
    for number in range(60):
        machine = replace(measured()[0].machine, memory_bytes=2**33 * (1 + number % 2))
        series = f"s{number // 6}" if number % 4 == 2 else None
        files.append(
            tuple(
                replace(
                    one,
                    machine=machine,
                    series=series,
                    file=f"{number:03}.json",
                    when=one.when + timedelta(minutes=number * 7 % 60),
                    seconds=(0.06 + number / 1000,) * 5,
                    flags=(f"mark {number}",),
                )
                for one in measured()
            )
        )
    return files


def test_the_latest_results_are_those_that_the_report_would_pick_from_everything() -> None:
    files = fleet()
    everything = [one for found in files for one in found]
    expected = latest(everything)
    assert len(expected) == 6
    for seed in range(5):
        random.Random(seed).shuffle(files)
        results = LatestResults()
        for found in files:
            results.add_measurements(found)
        kept = results.measurements()
        assert len(kept) == 6
        picked = latest(kept)
        # the processes of a series come in the order of reading, which does not matter
        assert [replace(one, seconds=(), flags=()) for one in picked] == [
            replace(one, seconds=(), flags=()) for one in expected
        ]
        assert [sorted(one.seconds) for one in picked] == [sorted(one.seconds) for one in expected]
        assert [sorted(one.flags) for one in picked] == [sorted(one.flags) for one in expected]
        assert results.measured == len(everything)


def test_the_newest_series_has_one_value_per_process() -> None:
    one = measured()[0]
    results = LatestResults()
    for number in (0, 2, 1):
        results.add_measurements(
            [replace(one, series="s", when=one.when + timedelta(hours=number), seconds=(0.1, 0.3))]
        )
    results.add_measurements([replace(one, when=one.when - timedelta(hours=1))])
    (kept,) = results.measurements()
    assert (kept.processes, kept.seconds) == (3, (0.2, 0.2, 0.2))
    assert kept.when == one.when + timedelta(hours=2)
    assert results.measured == 4
    assert sum(results.older.values()) == 1  # a series counts once


def test_files_of_one_machine_and_versions_are_one_group_named_after_the_newest() -> None:
    results = LatestResults()
    one = measured()[0]
    for number in (1, 3, 2):
        when = one.when + timedelta(hours=number)
        results.add_measurements([replace(one, file=f"{number}.json", when=when)])
    (group,) = results.groups()
    assert (group.file, group.files, group.measurements) == ("3.json", 3, 3)
    assert (group.first, group.last) == (
        one.when + timedelta(hours=1),
        one.when + timedelta(hours=3),
    )


def test_the_newest_verdict_file_of_a_set_is_kept_in_any_order() -> None:
    (fine,) = load.load([DATA / "constructed_compat_fine.json"]).compat
    newer = replace(fine, started=fine.started + timedelta(days=1), file="new.json")
    for order in ((fine, newer), (newer, fine)):
        results = LatestResults()
        for each in order:
            results.add_set(each)
        assert results.sets() == (newer,)
        assert results.older_sets == 1


def test_a_partial_run_never_replaces_a_whole_one_in_any_order() -> None:
    (whole,) = load.load([DATA / "constructed_compat_fine.json"]).compat
    day = timedelta(days=1)
    first, second = (
        replace(
            whole,
            started=whole.started + number * day,
            file=f"{number}.partial",
            selection=Selection(("-k", "x"), 3, "-k"),
        )
        for number in (1, 2)
    )
    for order in ((whole, first, second), (second, first, whole)):
        results = LatestResults()
        for each in order:
            results.add_set(each)
        assert set(results.sets()) == {whole, second}
        assert results.older_sets == 1


def test_the_newest_mark_of_a_row_and_folder_is_kept() -> None:
    marks = [
        Unfinished("x", (), "", largest().when + timedelta(hours=hour), "why", None, file)
        for hour, file in ((1, "a/x.unfinished"), (2, "a/x.unfinished"), (1, "b/x.unfinished"))
    ]
    for order in (marks, marks[::-1]):
        results = LatestResults()
        for each in order:
            results.add_unfinished(each)
        assert set(results.unfinished()) == set(marks[1:])


def test_each_setting_is_a_group_and_threads_matter_on_the_cpu_only() -> None:
    one = measured()[0]
    on_cpu = replace(one, device="cpu")
    results = LatestResults()
    results.add_measurements([one, replace(one, threads=9, mode="infer")])
    results.add_measurements([on_cpu, replace(on_cpu, threads=9), replace(on_cpu, malloc="tuned")])
    results.add_measurements([replace(one, power_mode="low")])
    found = {
        (g.device, g.power_mode, g.threads, g.malloc): g.measurements for g in results.groups()
    }
    assert found == {
        ("mps", None, None, None): 2,
        ("mps", "low", None, None): 1,
        ("cpu", None, 4, "default"): 1,
        ("cpu", None, 9, "default"): 1,
        ("cpu", None, 4, "tuned"): 1,
    }


def test_the_newest_search_for_the_largest_batch_is_kept_in_any_order() -> None:
    newer = largest(largest=9000, when=largest().when + timedelta(days=1), file="new.json")
    other = largest(mode="infer")
    for order in ((largest(), newer, other), (newer, other, largest())):
        results = LatestResults()
        for each in order:
            results.add_batch(each)
        assert set(results.batches()) == {newer, other}
        (group,) = results.groups()
        assert (group.kind, group.files, group.measurements) == (SEARCHES, 3, 0)
