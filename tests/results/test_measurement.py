"""Saved runs in several processes: what they may say, from the files of `--processes N` to the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalassay import report
from metalassay.report import statistics
from metalassay.report.model import Table
from metalassay.results import load
from metalassay.results.load import Loaded
from metalassay.results.measurement import Measurement, pool

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]
M4_PRO = load.load([DATA / "constructed_benchmarks_m4_pro.json"]).measurements[0]


def series(one: Measurement, name: str, *medians: float) -> list[Measurement]:
    return [
        replace(one, series=name, seconds=(median * 0.9, median, median * 5), file=f"{i}.json")
        for i, median in enumerate(medians)
    ]


def test_the_files_of_a_series_become_one_measurement_with_a_median_a_process() -> None:
    (found,) = pool(series(M4, "x", 1.0, 2.0, 4.0))
    assert found.seconds == (1.0, 2.0, 4.0)
    assert found.processes == 3


def test_what_is_of_no_series_or_of_another_stays_alone() -> None:
    assert len(pool([M4, M4])) == 2
    assert len(pool([*series(M4, "x", 1.0, 2.0), *series(M4, "y", 1.0)])) == 2
    other = replace(M4, identity="ast1-000000000000")
    assert len(pool([*series(M4, "x", 1.0), *series(other, "x", 1.0)])) == 2


def test_marks_of_every_process_are_kept_once() -> None:
    two = series(replace(M4, flags=("hot",)), "x", 1.0) + series(
        replace(M4, flags=("hot", "busy")), "x", 2.0
    )
    assert pool(two)[0].flags == ("hot", "busy")


def test_equal_processes_leave_the_ratio_no_room() -> None:
    assert statistics.bootstrap_ratio([2.0] * 5, [3.0] * 5) == (1.5, 1.5)


def test_processes_that_differ_spread_the_ratio_around_its_middle() -> None:
    found = statistics.bootstrap_ratio([1.0, 1.1, 0.9, 1.0, 1.05], [2.0, 2.2, 1.8, 2.0, 2.1])
    assert found is not None
    low, high = found
    assert 1.6 < low < 2.0 < high < 2.5


def test_few_processes_carry_no_interval() -> None:
    assert statistics.bootstrap_ratio([1.0] * 4, [1.0] * 9) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "cpu", "malloc": "tuned"}, "malloc tuned and default"),
        ({"power_mode": "low power"}, "power mode low power and normal"),
        (
            {"flags": ("throttled: after it the processor ran at 70% of its speed",)},
            "one was throttled by heat",
        ),
    ],
)
def test_conditions_that_differ_are_no_ground_for_a_ratio(
    changes: dict[str, Any], reason: str
) -> None:
    other = replace(M4, power_mode="normal", device=changes.get("device", M4.device))
    one = replace(other, **changes)
    assert statistics.differences(one, other) == [reason]
    assert statistics.differences(other, other) == []


def table_of(*measurements: Measurement) -> str:
    made = report.build(Loaded(measurements=measurements))
    assert isinstance(made.benchmarks, tuple)
    tables = [*made.benchmarks, *([made.comparison] if isinstance(made.comparison, Table) else [])]
    cells = [cell for table in tables for row in table.rows for cell in row]
    return "\n".join([*cells, *(note for table in tables for note in table.notes)])


def test_the_comparison_shows_how_processes_vary_and_that_it_is_not_significance() -> None:
    first = series(M4, "x", 1.0, 1.1, 0.9, 1.0, 1.05)
    second = series(M4_PRO, "y", 0.5, 0.55, 0.45, 0.5, 0.52)
    text = table_of(*first, *second)
    assert "x [" in text
    assert "not whether the difference is significant" in " ".join(text.split())
    assert "5 processes" in text
    alone = table_of(first[0], second[0])
    assert "x [" not in alone
    assert "not whether the difference is significant" not in " ".join(alone.split())


def test_what_makes_a_number_doubtful_stands_below_its_table() -> None:
    text = " ".join(table_of(replace(M4, flags=("12 MB were swapped",))).split())
    assert f"Doubtful, 12 MB were swapped: {M4.workload}" in text


def test_a_number_is_held_against_the_roof_of_its_own_run() -> None:
    one = replace(
        M4,
        seconds=(0.004,),
        flop_per_call=10**9,
        compulsory_bytes=10**6,
        measured_peak=(500.0, 100.0),
    )
    assert "50% of roofline" in table_of(one)  # 2 ms of arithmetic at best, in 4 ms


def test_traffic_that_no_memory_has_is_refused() -> None:
    one = replace(M4, seconds=(0.004,), compulsory_bytes=2**31)
    assert "refused: needs at least 537 GB/s" in " ".join(table_of(one).split())


def test_a_file_of_before_reads_as_not_knowing() -> None:
    assert (M4.compulsory_bytes, M4.malloc, M4.measured_peak, M4.series) == (
        None,
        "default",
        None,
        None,
    )


def test_the_new_fields_are_read(tmp_path: Path) -> None:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    document["metalassay"] |= {
        "series": "abc",
        "selftest": {"checks": [], "roof": {"gflop_s": 100.0, "gb_s": 20.0}},
        "conditions": {"before": {}, "after": {"power_mode": "low power"}},
    }
    for each in document["benchmarks"]:
        each["extra_info"] |= {
            "marks": ["hot"], "malloc": "tuned", "compulsory_bytes_per_call": 5,
        }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(document))
    loaded = load.load([tmp_path / "x.json"])
    assert loaded.warnings == ()
    one = loaded.measurements[0]
    assert (one.series, one.measured_peak, one.power_mode) == ("abc", (100.0, 20.0), "low power")
    assert (one.flags, one.malloc, one.compulsory_bytes) == (("hot",), "tuned", 5)


def test_watts_stand_with_their_rail_and_source_and_nobody_works_them_out() -> None:
    one = replace(M4, watts=12.3, watts_from="CPU + GPU, modelled, x", per_watt=81.0)
    text = table_of(one, M4_PRO)
    assert "12.3 (CPU + GPU, modelled, x)" in text
    assert "81.0" in text
    assert f"power, W, {M4.workload}" in text
    assert "power, W\n" in table_of(M4, M4_PRO)


@pytest.mark.parametrize("source", ["TDP", "unavailable", ""])
def test_watts_of_another_source_are_refused(tmp_path: Path, source: str) -> None:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    power = {"watts": 9.0, "rail": "x", "tool": "x", "source": source, "per_watt": 1.0}
    document["benchmarks"][0]["extra_info"]["power"] = power
    (tmp_path / "x.json").write_text(json.dumps(document))
    assert "power.source: expected one of" in load.load([tmp_path / "x.json"]).warnings[0]
