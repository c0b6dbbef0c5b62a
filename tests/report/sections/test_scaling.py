"""The roofline section: points, rooflines, shares, and the ratio predicted for two machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hand_made import BASE, LINUX, find_chip, measurement, on_pro

from metalassay.report.model import NO_VALUE, Roofline, Section
from metalassay.report.sections import benchmarks, scaling, side_by_side
from metalassay.results.measurement import Measurement

PEAKS = (2000.0, 100.0)


def section(measured: Sequence[Measurement]) -> Section:
    shown = benchmarks.latest(measured)
    return scaling.section(side_by_side.of(shown, find_chip), shown)


def test_a_row_has_the_attainable_performance_and_what_limits_it() -> None:
    # 4 GFLOP in 64 ms are 62.5 GFLOP/s; 10 MB make 400 FLOP/byte, 400 MB make 10.
    memory = measurement(mode="infer", compulsory_bytes=400_000_000)
    (table,) = section(
        [replace(BASE, measured_peak=PEAKS), replace(memory, measured_peak=PEAKS)]
    ).tables
    assert table.rows == (
        (
            "transit-cnn training, batch 64 (float32, mps)",
            "400",
            "62.5",
            "2,000",
            "3%",
            "arithmetic",
        ),
        ("transit-cnn inference, batch 64 (float32, mps)", "10.0", "62.5", "1,000", "6%", "memory"),
    )


def test_without_measured_peaks_or_with_refused_ones_there_is_no_share() -> None:
    (table,) = section([BASE]).tables
    assert table.rows[0][3:] == ("no measured peak", NO_VALUE, NO_VALUE)
    (table,) = section([replace(BASE, measured_peak=(2000.0, 130.0))]).tables
    assert table.rows[0][3:] == ("refused", NO_VALUE, NO_VALUE)


def test_a_note_lists_measurements_above_their_roofline() -> None:
    (table,) = section([replace(BASE, measured_peak=(50.0, 100.0))]).tables
    assert table.rows[0][4] == "125%"
    assert "the measured peaks are below what the machine can do" in table.notes[0]


def test_the_plot_has_the_measured_and_the_published_roofline() -> None:
    (plot,) = section([replace(BASE, measured_peak=PEAKS), measurement(mode="infer")]).plots
    assert plot.title == "How close does Apple M4 come to its roofline on mps?"
    assert plot.x_log
    assert plot.y_log
    assert plot.rooflines == (
        Roofline("measured peaks", 2000.0, 100.0),
        Roofline("limits of the chip in float32 (estimate and published)", 4000.0, 120.0),
    )
    assert [each.name for each in plot.series] == ["transit-cnn training", "transit-cnn inference"]
    (point,) = plot.series[0].points
    assert (point.x, point.y) == (400, 62.5)
    assert point.label.endswith("62.5 GFLOP/s, 3% of its roofline")
    assert not plot.series[0].line


def test_a_cpu_has_one_roofline_per_number_of_threads_and_none_of_the_gpu() -> None:
    ones = [
        measurement(device="cpu", threads=1, measured_peak=(90.0, 20.0)),
        measurement(
            device="cpu",
            threads=1,
            measured_peak=(95.0, 21.0),
            batch_size=8,
            when=BASE.when + timedelta(1),
        ),
        measurement(device="cpu", threads=2, measured_peak=(180.0, 30.0)),
    ]
    (plot,) = section(ones).plots
    assert set(plot.rooflines) == {
        Roofline("measured peaks, 1 thread", 95.0, 21.0),
        Roofline("measured peaks, 2 threads", 180.0, 30.0),
    }


def test_files_without_a_count_of_compulsory_traffic_are_counted_only() -> None:
    older = measurement(mode="infer", compulsory_bytes=None)
    result = section([BASE, older])
    assert len(result.tables[0].rows) == 1
    assert (
        "1 older measurement without a count of compulsory traffic is not shown."
        in result.sentences
    )
    nothing = section([older])
    assert nothing.hint is not None
    assert not nothing.plots
    assert not nothing.tables


def test_a_refused_time_is_not_plotted() -> None:
    assert section([measurement(seconds=(1e-4,))]).hint is not None


def test_the_ratio_of_two_machines_is_compared_with_the_ratio_of_their_rooflines() -> None:
    pro = on_pro(measured_peak=(5000.0, 240.0))
    first, second, ratios = section([replace(BASE, measured_peak=PEAKS), pro]).tables
    assert "Apple M4 (10-core" in first.caption
    assert "Apple M4 Pro" in second.caption
    # Both bound by arithmetic: 5000 over 2000.
    label = "transit-cnn training, batch 64 (float32, mps)"
    assert ratios.rows == ((label, "2.00x", "2.50x"),)
    slow, quick = (
        replace(each, compulsory_bytes=400_000_000)
        for each in (replace(BASE, measured_peak=PEAKS), pro)
    )
    # 10 FLOP/byte: 2400 over 1000
    assert section([slow, quick]).tables[-1].rows == ((label, "2.00x", "2.40x"),)


@pytest.mark.parametrize("peaks", [None, (5000.0, 300.0)])
def test_without_both_rooflines_there_is_no_predicted_ratio(
    peaks: tuple[float, float] | None,
) -> None:
    tables = section([replace(BASE, measured_peak=PEAKS), on_pro(measured_peak=peaks)]).tables
    assert len(tables) == 2


def test_an_unknown_machine_has_only_its_measured_roofline() -> None:
    (plot,) = section([measurement(machine=LINUX, device="cpu", measured_peak=PEAKS)]).plots
    assert len(plot.rooflines) == 1


def test_the_number_of_rows_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "MOST_ROWS", 2)
    (table,) = section([measurement(batch_size=n) for n in (1, 2, 3)]).tables
    assert len(table.rows) == 2
    assert "1 further measurement is not shown." in table.notes[0]
