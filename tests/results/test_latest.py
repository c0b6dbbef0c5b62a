"""What is kept of many files: what the report shows, whatever the order they are read in."""

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


def test_what_is_kept_is_what_the_report_would_pick_from_everything() -> None:
    files = fleet()
    everything = [one for found in files for one in found]
    expected = latest(everything)
    assert len(expected) == 6
    for seed in range(5):
        random.Random(seed).shuffle(files)  # noqa: S311
        gathering = LatestResults()
        for found in files:
            gathering.add_measurements(found)
        kept = gathering.measurements()
        assert len(kept) == 6
        picked = latest(kept)
        # the processes of a series come in the order of reading, which says nothing
        assert [replace(one, seconds=(), flags=()) for one in picked] == [
            replace(one, seconds=(), flags=()) for one in expected
        ]
        assert [sorted(one.seconds) for one in picked] == [sorted(one.seconds) for one in expected]
        assert [sorted(one.flags) for one in picked] == [sorted(one.flags) for one in expected]
        assert gathering.measured == len(everything)


def test_a_series_that_wins_has_a_value_a_process() -> None:
    one = measured()[0]
    gathering = LatestResults()
    for number in (0, 2, 1):
        gathering.add_measurements(
            [replace(one, series="s", when=one.when + timedelta(hours=number), seconds=(0.1, 0.3))]
        )
    gathering.add_measurements([replace(one, when=one.when - timedelta(hours=1))])
    (kept,) = gathering.measurements()
    assert (kept.processes, kept.seconds) == (3, (0.2, 0.2, 0.2))
    assert kept.when == one.when + timedelta(hours=2)
    assert gathering.measured == 4
    assert sum(gathering.older.values()) == 1  # a series counts once


def test_files_of_one_machine_and_versions_are_one_group_with_the_newest_name() -> None:
    gathering = LatestResults()
    one = measured()[0]
    for number in (1, 3, 2):
        when = one.when + timedelta(hours=number)
        gathering.add_measurements([replace(one, file=f"{number}.json", when=when)])
    (group,) = gathering.groups()
    assert (group.file, group.files, group.measurements) == ("3.json", 3, 3)
    assert (group.first, group.last) == (
        one.when + timedelta(hours=1),
        one.when + timedelta(hours=3),
    )


def test_of_verdict_files_the_newest_of_a_set_is_kept_in_any_order() -> None:
    (fine,) = load.load([DATA / "constructed_compat_fine.json"]).compat
    newer = replace(fine, started=fine.started + timedelta(days=1), file="new.json")
    for order in ((fine, newer), (newer, fine)):
        gathering = LatestResults()
        for each in order:
            gathering.add_set(each)
        assert gathering.sets() == (newer,)
        assert gathering.older_sets == 1


def test_settings_are_groups_of_their_own_and_threads_count_on_the_cpu_alone() -> None:
    one = measured()[0]
    on_cpu = replace(one, device="cpu")
    gathering = LatestResults()
    gathering.add_measurements([one, replace(one, threads=9, mode="infer")])
    gathering.add_measurements(
        [on_cpu, replace(on_cpu, threads=9), replace(on_cpu, malloc="tuned")]
    )
    gathering.add_measurements([replace(one, power_mode="low power")])
    found = {
        (g.device, g.power_mode, g.threads, g.malloc): g.measurements for g in gathering.groups()
    }
    assert found == {
        ("mps", None, None, None): 2,
        ("mps", "low power", None, None): 1,
        ("cpu", None, 4, "default"): 1,
        ("cpu", None, 9, "default"): 1,
        ("cpu", None, 4, "tuned"): 1,
    }


def test_of_searches_for_the_largest_batch_the_newest_is_kept_in_any_order() -> None:
    newer = largest(largest=9000, when=largest().when + timedelta(days=1), file="new.json")
    other = largest(mode="infer")
    for order in ((largest(), newer, other), (newer, other, largest())):
        gathering = LatestResults()
        for each in order:
            gathering.add_batch(each)
        assert set(gathering.batches()) == {newer, other}
        (group,) = gathering.groups()
        assert (group.kind, group.files, group.measurements) == (SEARCHES, 3, 0)
