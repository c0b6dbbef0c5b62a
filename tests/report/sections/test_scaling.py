"""The roofline: where a workload lies, which roof it is held against, and what two machines should do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hand_made import BASE, LINUX, find_chip, measurement, on_pro

from metalassay.report.model import NO_VALUE, Section
from metalassay.report.sections import benchmarks, scaling, side_by_side
from metalassay.results.measurement import Measurement

ROOF = (2000.0, 100.0)


def section(measured: Sequence[Measurement]) -> Section:
    shown = benchmarks.latest(measured)
    return scaling.section(side_by_side.of(shown, find_chip), shown)


def test_the_roof_is_arithmetic_to_the_right_of_its_ridge_and_memory_to_the_left() -> None:
    assert scaling.attainable(400, ROOF) == 2000
    assert scaling.attainable(20, ROOF) == 2000
    assert scaling.attainable(10, ROOF) == 1000


def test_a_row_says_what_the_machine_could_do_and_what_bounds_it() -> None:
    # 4 GFLOP in 64 ms are 62.5 GFLOP/s; 10 MB make 400 FLOP/byte, 400 MB make 10.
    memory = measurement(mode="infer", compulsory_bytes=400_000_000)
    (table,) = section(
        [replace(BASE, measured_peak=ROOF), replace(memory, measured_peak=ROOF)]
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


def test_without_a_probe_or_with_a_refused_one_there_is_no_share() -> None:
    (table,) = section([BASE]).tables
    assert table.rows[0][3:] == ("no probe", NO_VALUE, NO_VALUE)
    (table,) = section([replace(BASE, measured_peak=(2000.0, 130.0))]).tables
    assert table.rows[0][3:] == ("refused", NO_VALUE, NO_VALUE)


def test_more_than_the_measured_roof_is_said() -> None:
    (table,) = section([replace(BASE, measured_peak=(50.0, 100.0))]).tables
    assert table.rows[0][4] == "125%"
    assert "the probe did not reach what the machine can do" in table.notes[0]


def test_the_plot_has_the_measured_roof_and_the_published_one_by_name() -> None:
    (plot,) = section([replace(BASE, measured_peak=ROOF), measurement(mode="infer")]).plots
    assert plot.title == "How near to its roof does Apple M4 come on mps?"
    assert plot.x_log
    assert plot.y_log
    assert plot.roofs == (
        ("measured: product and triad", 2000.0, 100.0),
        ("the chip's limits in float32 (estimate and published)", 4000.0, 120.0),
    )
    assert [each.name for each in plot.series] == ["transit-cnn training", "transit-cnn inference"]
    (point,) = plot.series[0].points
    assert (point.x, point.y) == (400, 62.5)
    assert point.label.endswith("62.5 GFLOP/s, 3% of its roof")
    assert not plot.series[0].line


def test_a_cpu_has_a_roof_for_each_number_of_threads_and_none_of_the_gpu() -> None:
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
    assert sorted(plot.roofs) == [
        ("measured: product and triad, 1 thread", 95.0, 21.0),
        ("measured: product and triad, 2 threads", 180.0, 30.0),
    ]


def test_older_files_without_the_least_traffic_are_left_out_and_counted() -> None:
    older = measurement(mode="infer", compulsory_bytes=None)
    found = section([BASE, older])
    assert len(found.tables[0].rows) == 1
    assert "1 older measurement without that count left out." in found.sentences
    nothing = section([older])
    assert nothing.hint is not None
    assert not nothing.plots
    assert not nothing.tables


def test_a_refused_time_is_on_no_roofline() -> None:
    assert section([measurement(seconds=(1e-4,))]).hint is not None


def test_two_machines_are_held_against_the_ratio_of_their_own_roofs() -> None:
    pro = on_pro(measured_peak=(5000.0, 240.0))
    first, second, ratios = section([replace(BASE, measured_peak=ROOF), pro]).tables
    assert "Apple M4 (10-core" in first.caption
    assert "Apple M4 Pro" in second.caption
    # Both bound by arithmetic: 5000 over 2000.
    label = "transit-cnn training, batch 64 (float32, mps)"
    assert ratios.rows == ((label, "2.00x", "2.50x"),)
    slow, quick = (
        replace(each, compulsory_bytes=400_000_000)
        for each in (replace(BASE, measured_peak=ROOF), pro)
    )
    # 10 FLOP/byte: 2400 over 1000
    assert section([slow, quick]).tables[-1].rows == ((label, "2.00x", "2.40x"),)


@pytest.mark.parametrize("roof", [None, (5000.0, 300.0)])
def test_without_both_roofs_there_is_no_ratio_of_roofs(roof: tuple[float, float] | None) -> None:
    tables = section([replace(BASE, measured_peak=ROOF), on_pro(measured_peak=roof)]).tables
    assert len(tables) == 2


def test_an_unknown_machine_has_its_measured_roof_alone() -> None:
    (plot,) = section([measurement(machine=LINUX, device="cpu", measured_peak=ROOF)]).plots
    assert len(plot.roofs) == 1


def test_the_table_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "MOST_ROWS", 2)
    (table,) = section([measurement(batch_size=n) for n in (1, 2, 3)]).tables
    assert len(table.rows) == 2
    assert "1 further measurement not shown." in table.notes[0]
