"""The table at the end of a run, and what is said of the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import bench_files
import pytest
from hand_made import largest

from metalassay.bench import summary
from metalassay.machine import published
from metalassay.report.model import NO_VALUE
from metalassay.results import parse
from metalassay.results.measurement import Measurement

ROOFS = bench_files.document()["metalassay"]["selftest"]["roofs"]


def measured(edit: Callable[[Any], object] = lambda document: None) -> list[Measurement]:
    found = parse.parse(bench_files.edited(edit), "x")
    assert isinstance(found, tuple)
    return [one for one in found if isinstance(one, Measurement)]


def slower(by: float) -> Callable[[Any], None]:
    def edit(document: Any) -> None:
        for one in document["benchmarks"]:
            stats = one["stats"]
            stats["data"] = [by * each for each in stats["data"]]
            stats["median"] *= by

    return edit


def test_the_gpu_comes_first_and_published_figures_are_beside_what_is_published() -> None:
    table = summary.table(summary.rows(measured(), []), ROOFS)
    assert table.head[2:] == ("Apple M4, published", "Apple M4 Pro, published")
    cells = {row[0]: row[1:] for row in table.rows}
    assert next(iter(cells)) == "mps: transit-cnn training, batch 64"
    assert cells["mps: transit-cnn training, batch 64"] == (
        "3,200 samples/s (3,140 \N{EN DASH} 3,270)", NO_VALUE, NO_VALUE,
    )  # fmt: skip
    assert cells["mps: matrix product"] == (
        "2.90 TFLOP/s", "2.88 to 3.31 TFLOP/s", "5.1 to 6.63 TFLOP/s",
    )  # fmt: skip
    assert cells["cpu: memory bandwidth"] == ("95.0 GB/s", "103 GB/s", NO_VALUE)


def test_every_published_figure_in_the_table_has_its_source() -> None:
    known = {figure.source for figure in published.load()}
    addresses = summary.sources(["mps", "cpu"])
    assert addresses
    assert set(addresses) <= known


def test_without_a_gpu_the_published_ones_have_their_rows() -> None:
    table = summary.table([], {"cpu": ROOFS["cpu"]})
    assert table.rows[0] == (
        "gpu: matrix product", "not measured", "2.88 to 3.31 TFLOP/s", "5.1 to 6.63 TFLOP/s",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (1.0, "no difference seen (1.00x)"),
        (1.01, "no difference seen (1.01x)"),
        (1.5, "1.50x (the quartiles do not overlap)"),
        (0.5, "0.50x (the quartiles do not overlap)"),
    ],
)
def test_a_ratio_is_called_a_difference_only_where_the_quartiles_are_apart(
    by: float, said: str
) -> None:
    rows = summary.rows(measured(), measured(slower(by)))
    assert {summary.change(row) for row in rows} == {said}


def test_a_ratio_with_a_doubtful_run_says_so() -> None:
    last = [replace(one, flags=("busy: a load of 9.0 on 2 processors",)) for one in measured()]
    (said,) = {summary.change(row) for row in summary.rows(measured(), last)}
    assert said == "no difference seen (1.00x; a run was doubtful)"


def test_another_torch_is_not_compared() -> None:
    last = [replace(one, versions={**one.versions, "torch": "2.8.0"}) for one in measured()]
    (said,) = {summary.change(row) for row in summary.rows(measured(), last)}
    assert said == "not compared: torch 2.8.0 and 2.13.0"


def test_what_the_last_run_lacks_is_said() -> None:
    last = [one for one in measured() if one.device == "cpu"]
    said = [summary.change(row) for row in summary.rows(measured(), last)]
    assert said[:2] == ["not measured then"] * 2


def test_a_rehearsal_shows_no_figure() -> None:
    def emulate(document: Any) -> None:
        for one in document["benchmarks"]:
            one["extra_info"]["emulated"] = True
            one["extra_info"]["marks"] = ["busy: a load of 9.0 on 2 processors"]

    rows = summary.rows(measured(emulate), [])
    table = summary.table(rows, ROOFS, batches=[largest(emulated=True)])
    assert {row[1] for row in table.rows} == {"refused: rehearsal"}
    assert not any("Doubtful" in note for note in table.notes)


def test_wrong_numbers_failures_and_largest_batches_have_their_rows() -> None:
    def wrong(document: Any) -> None:
        document["benchmarks"][0]["extra_info"]["parity"] = "forward: 3 values differ"

    table = summary.table(
        summary.rows(measured(wrong), []),
        ROOFS,
        failed=[("cpu: gpt-small training, batch 4", "failed: no memory")],
        batches=[largest(largest=64, limit=None)],
    )
    cells = {row[0]: row[1] for row in table.rows}
    assert cells["mps: transit-cnn training, batch 64"].endswith(", WRONG NUMBERS")
    assert cells["cpu: gpt-small training, batch 4"] == "failed: no memory"
    assert "64 or more" in cells.values()


def test_drifts_are_one_note_and_a_flag_of_all_rows_names_none() -> None:
    drift = "drifted: the last third of the rounds took -12% compared with the first third"
    busy = "busy: a load of 9.0 on 2 processors"
    one, *rest = measured()
    run = [replace(one, flags=(drift, busy)), *(replace(each, flags=(busy,)) for each in rest)]
    notes = summary.table(summary.rows(run, []), ROOFS).notes
    assert notes[1] == f"Doubtful: {busy}"
    assert notes[2].endswith("to the last: mps: transit-cnn training, batch 64 (-12%)")
