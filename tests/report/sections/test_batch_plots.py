"""Throughput by batch size: which plots there are, their lines, and what is not drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hand_made import BASE, LINUX, find_chip, measurement, on_pro

from metalassay.report.model import Hint, Section
from metalassay.report.sections import batch_plots, benchmarks, side_by_side
from metalassay.results.measurement import Measurement


def section(measured: Sequence[Measurement], **more: Any) -> Section:
    shown = benchmarks.latest(measured)
    return batch_plots.section(side_by_side.of(shown, find_chip, **more), shown)


def test_each_line_is_a_machine_with_its_quartiles_in_the_order_of_batches() -> None:
    # The small one was measured last, and is still the first point.
    small = measurement(batch_size=8, seconds=(0.01,), when=BASE.when + timedelta(days=1))
    (plot,) = section([BASE, small, on_pro()]).plots
    assert plot.title == "How fast does transit-cnn train, by batch size?"
    assert (plot.y_label, plot.x_log) == ("samples/s", True)  # 64 is 8 times 8
    first, second = plot.series
    assert (first.name, second.name) == ("Apple M4", "Apple M4 Pro")
    assert [(p.x, p.y) for p in first.points] == [(8, pytest.approx(800)), (64, 1000)]
    assert (first.points[0].low, first.points[0].high) == (None, None)
    assert first.points[1].low == pytest.approx(64 / 0.0672)
    assert first.points[1].high == pytest.approx(64 / 0.0608)
    assert first.points[1].label == "batch 64: 1,000 samples/s, quartiles 952 to 1,050"
    assert not any(each.projected for each in plot.series)


def test_a_single_batch_size_gives_a_hint_instead_of_a_plot() -> None:
    alone = section([BASE, on_pro()])
    assert alone.plots == ()
    assert isinstance(alone.hint, Hint)
    assert "--batch-size 1" in alone.hint.command
    assert section([]).hint is not None


def test_each_setting_is_a_line_named_by_what_differs() -> None:
    ones = [
        measurement(machine=LINUX, device="cpu", batch_size=batch, threads=threads, **more)
        for batch in (8, 64)
        for threads in (1, 2)
        for more in ({}, {"dtype": "bfloat16"})
    ]
    (plot,) = section(ones).plots
    assert [each.name for each in plot.series] == [
        "AMD EPYC, bfloat16, 1 thread",
        "AMD EPYC, bfloat16, 2 threads",
        "AMD EPYC, float32, 1 thread",
        "AMD EPYC, float32, 2 threads",
    ]


def test_the_number_of_threads_does_not_split_lines_of_a_gpu() -> None:
    (plot,) = section([BASE, measurement(batch_size=8, threads=9)]).plots
    assert len(plot.series) == 1


def test_different_code_of_a_workload_never_shares_a_line() -> None:
    (plot,) = section([BASE, measurement(batch_size=8, identity="ast1-beef12345678")]).plots
    assert [each.name for each in plot.series] == [
        "Apple M4, code ast1-beef12345678",
        "Apple M4, code ast1-c0ffee000000",
    ]


def test_refused_measurements_are_counted_and_not_drawn() -> None:
    impossible = measurement(batch_size=128, seconds=(1e-5,))
    (plot,) = section([BASE, measurement(batch_size=8), impossible]).plots
    assert [point.x for point in plot.series[0].points] == [8, 64]
    assert "1 refused measurement is not drawn." in plot.note


def test_the_lines_with_the_most_batch_sizes_are_drawn() -> None:
    many = [
        measurement(machine=LINUX, device="cpu", threads=n, batch_size=8)
        for n in range(1, batch_plots.MOST_SERIES + 3)
    ]
    long = [measurement(machine=LINUX, device="cpu", threads=99, batch_size=b) for b in (8, 16)]
    (plot,) = section([*many, *long]).plots
    assert len(plot.series) == batch_plots.MOST_SERIES
    assert "99 threads" in plot.series[-1].name
    assert "3 further settings are not drawn." in plot.note


def test_only_chosen_machines_are_drawn() -> None:
    everything = [BASE, measurement(batch_size=8), on_pro(), on_pro(batch_size=8)]
    (plot,) = section(everything, wanted=["Apple M4 Pro"]).plots
    assert [each.name for each in plot.series] == ["Apple M4 Pro"]


def test_plots_follow_the_order_of_the_tables() -> None:
    ones = [
        measurement(workload=workload, mode=mode, batch_size=batch)
        for workload in ("zzz", "gpt-tiny", "transit-cnn")
        for mode in ("infer", "train")
        for batch in (8, 9)
    ]
    titles = [plot.title.split(", ")[0] for plot in section(ones).plots]
    assert titles == [
        "How fast does transit-cnn train",
        "How fast does transit-cnn run",
        "How fast does gpt-tiny train",
        "How fast does gpt-tiny run",
        "How fast does zzz train",
        "How fast does zzz run",
    ]
    assert not any(plot.x_log for plot in section(ones).plots)
