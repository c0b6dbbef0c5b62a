"""What the tables of the report show of processes, doubts, measured peaks and watts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metalassay import report
from metalassay.report.model import Table
from metalassay.results import load
from metalassay.results.load import Loaded
from metalassay.results.measurement import Measurement

DATA = Path(__file__).parents[2] / "data" / "runs"
M4 = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]
M4_PRO = load.load([DATA / "constructed_benchmarks_m4_pro.json"]).measurements[0]


def series(one: Measurement, name: str, *medians: float) -> list[Measurement]:
    return [
        replace(one, series=name, seconds=(median * 0.9, median, median * 5), file=f"{i}.json")
        for i, median in enumerate(medians)
    ]


def table_of(*measurements: Measurement) -> str:
    made = report.build(Loaded(measurements=measurements))
    assert isinstance(made.benchmarks, tuple)
    tables = [*made.benchmarks, *([made.comparison] if isinstance(made.comparison, Table) else [])]
    cells = [cell for table in tables for row in table.rows for cell in row]
    return "\n".join([*cells, *(note for table in tables for note in table.notes)])


def test_the_comparison_has_an_interval_over_processes_and_explains_it() -> None:
    first = series(M4, "x", 1.0, 1.1, 0.9, 1.0, 1.05)
    second = series(M4_PRO, "y", 0.5, 0.55, 0.45, 0.5, 0.52)
    text = table_of(*first, *second)
    assert "x [" in text
    assert "not whether the difference is significant" in " ".join(text.split())
    assert "5 processes" in text
    alone = table_of(first[0], second[0])
    assert "x [" not in alone
    assert "not whether the difference is significant" not in " ".join(alone.split())


def test_a_doubtful_number_is_explained_below_its_table() -> None:
    text = " ".join(table_of(replace(M4, flags=("12 MB were swapped",))).split())
    assert f"Doubtful, 12 MB were swapped: {M4.workload}" in text


def test_a_number_is_compared_with_the_measured_peak_of_its_own_run() -> None:
    one = replace(
        M4,
        seconds=(0.004,),
        flop_per_call=10**9,
        compulsory_bytes=10**6,
        measured_peak=(500.0, 100.0),
    )
    assert "50% of roofline" in table_of(one)  # 2 ms of arithmetic at best, in 4 ms


def test_memory_traffic_beyond_the_bandwidth_is_refused() -> None:
    one = replace(M4, seconds=(0.004,), compulsory_bytes=2**31)
    assert "refused: needs at least 537 GB/s" in " ".join(table_of(one).split())


def test_watts_are_shown_with_their_rail_and_source_or_not_at_all() -> None:
    one = replace(M4, watts=12.3, watts_from="CPU + GPU, modelled, x", per_watt=81.0)
    text = table_of(one, M4_PRO)
    assert "12.3 (CPU + GPU, modelled, x)" in text
    assert "81.0" in text
    assert f"power, W, {M4.workload}" in text
    assert "power, W\n" in table_of(M4, M4_PRO)
