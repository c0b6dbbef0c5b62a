"""Projections: an interval from counted work and published figures, kept apart from measurements."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hand_made import BASE, LINUX, M4_PRO, find_chip, measurement

from metalassay import report
from metalassay.cli.main import main
from metalassay.errors import UserError
from metalassay.machine import chips, published
from metalassay.report.model import Section
from metalassay.report.sections import projection
from metalassay.results.load import Loaded

DATA = Path(__file__).parents[2] / "data" / "runs"
PRO = projection.chip("Apple M4 Pro 20c")
BIG = measurement(
    batch_size=256, flop_per_call=16_000_000_000, bytes_per_call=1_920_000_000, file="big.json"
)
# The lowest shares in others' figures: 68.8 of 120 GB/s (M4, batched product), 3.30 of 6.46 TFLOP/s
# (M4 Pro with 16 cores, Conv1d).
MEMORY, PEAK = 68.8 / 120, 3.30 / 6.46


@pytest.mark.parametrize(
    "text",
    [
        "Apple M4 Pro 20c",
        "apple m4 pro 20",
        "M4 Pro  20 cores",
        "m4 pro 20-core GPU",
        "M4 PRO 20-core",
    ],
)
def test_a_chip_is_found_by_the_names_that_people_use(text: str) -> None:
    result = projection.chip(text)
    assert (result.name, result.gpu_cores) == ("Apple M4 Pro", 20)
    assert projection.name(result) == "Apple M4 Pro 20c"


@pytest.mark.parametrize(
    ("text", "message", "next_step"),
    [
        ("Apple M9", "unknown chip", "Apple M4 Pro 16c, Apple M4 Pro 20c"),
        ("", "unknown chip", "Apple M4 10c"),
        ("Apple M4 Pro 17c", "unknown chip", "Apple M4 Pro 16c"),
        ("M4 Pro", "number of GPU cores missing", "one of: Apple M4 Pro 16c, Apple M4 Pro 20c"),
        ("M5", "no reliable peak of its GPU is published", "choose one of: Apple M1 8c"),
        ("M2 Pro 19", "no reliable peak of its GPU is published", "Apple M4 Pro 20c"),
    ],
)
def test_an_unknown_chip_is_refused_with_a_list_of_the_known_ones(
    text: str, message: str, next_step: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        projection.chip(text)
    assert next_step in caught.value.next_step


def test_the_shares_are_the_lowest_published_ones_and_name_their_source() -> None:
    low = projection.shares()
    assert low.bandwidth == pytest.approx(MEMORY)
    assert low.arithmetic == pytest.approx(PEAK)
    assert low.bandwidth_from.startswith("1000 products of 1024x64 and 64x256, Apple M4; https://")
    assert "Conv1d" in low.arithmetic_from


def test_figures_of_other_libraries_are_not_used_for_pytorch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (mine,) = [each for each in published.load() if each.id == "m4-softmax"]
    others = [replace(mine, tool="MLX", low=1.0, high=1.0), replace(mine, on="cpu", low=1.0)]
    everything = (*published.load(), *others)
    monkeypatch.setattr(published, "load", lambda: everything)
    assert projection.shares().bandwidth == pytest.approx(MEMORY)


def test_the_interval_is_computed_from_counts_and_published_figures() -> None:
    result = projection.project(BIG, PRO, projection.shares())
    # Upper: 16 GFLOP at 8.08 TFLOP/s + 15 %; 10 MB at 273 GB/s take less.
    assert result.high == pytest.approx(256 / (16e9 / (8.08e12 * 1.15)))
    assert result.bound == "arithmetic"
    # Lower: 16 GFLOP at 51 % of 8.08 TFLOP/s, then 1.92 GB at 57 % of 273 GB/s.
    seconds = 16e9 / (PEAK * 8.08e12) + 1.92e9 / (MEMORY * 273e9)
    assert seconds == pytest.approx(0.01614, rel=1e-3)
    assert result.low == pytest.approx(256 / seconds)


def test_memory_limits_the_upper_end_where_it_takes_longer() -> None:
    result = projection.project(
        replace(BIG, compulsory_bytes=1_000_000_000), PRO, projection.shares()
    )
    assert result.bound == "memory"
    assert result.high == pytest.approx(256 / (1e9 / (273e9 * 1.03)))


def test_no_margin_is_added_to_a_published_peak() -> None:
    m1 = projection.chip("M1 8c")
    assert m1.fp32_tflops is not None
    assert m1.fp32_tflops.kind == "published"
    result = projection.project(BIG, m1, projection.shares())
    assert result.high == pytest.approx(256 / (16e9 / 2.6e12))


def test_a_short_call_has_no_lower_end_because_launches_may_dominate() -> None:
    half = replace(BIG, batch_size=128, flop_per_call=10**10, bytes_per_call=10**9)
    result = projection.project(half, PRO, projection.shares())
    assert result.low is None  # 8.8 ms
    assert result.high is not None  # 1.08 ms


def test_a_call_dominated_by_launches_is_not_projected() -> None:
    result = projection.project(BASE, PRO, projection.shares())  # 4.0 ms, and 0.43 by the roofline
    assert (result.low, result.high) == (None, None)


def test_contradictory_counts_never_reverse_the_interval() -> None:
    odd = replace(BIG, compulsory_bytes=10**13)
    result = projection.project(odd, PRO, projection.shares())
    assert result.low is not None
    assert result.high is not None
    assert result.low < result.high


def projected(*ones: object, onto: tuple[str, ...] = ("Apple M4 Pro 20c",)) -> Section:
    result = projection.section(onto, ones)  # type: ignore[arg-type]
    assert result is not None
    return result


def test_everything_in_the_section_says_that_it_is_projected() -> None:
    section = projected(BIG, BASE)
    assert section.projected
    assert section.sentences[0].startswith("Projected, not measured: nobody ran this suite")
    (table,) = section.tables
    assert table.caption == "Apple M4 Pro 20c: projected intervals"
    assert table.head[1:3] == ("projected from", "projected to")
    assert [row[:3] for row in table.rows] == [
        ("transit-cnn training, batch 256 (float32)", "15,900", "149,000 samples/s"),
        ("transit-cnn training, batch 64 (float32)", "not projected", "not projected"),
    ]
    assert "273 GB/s (published, https://" in table.notes[0]
    assert "8.08 TFLOP/s in float32 (estimate, https://" in table.notes[0]
    (plot,) = section.plots
    assert plot.y_label == "samples/s, projected"
    (series,) = plot.series
    assert series.projected
    (point,) = series.points  # the short call has no interval to draw
    assert point.low is not None
    assert point.high is not None
    assert point.low < point.y < point.high
    assert "projected" in point.label


def test_two_chips_are_two_tables_and_two_series_in_one_plot() -> None:
    section = projected(BIG, onto=("M4 10c", "M4 Pro 20c", "Apple M4 Pro 20-core GPU"))
    assert len(section.tables) == 2
    assert [each.name for each in section.plots[0].series] == [
        "Apple M4 10c",
        "Apple M4 Pro 20c",
    ]


def test_half_precision_and_emulated_runs_are_not_projected() -> None:
    section = projected(
        BIG, replace(BIG, dtype="float16"), replace(BIG, mode="infer", emulated=True)
    )
    (table,) = section.tables
    assert len(table.rows) == 1
    assert "1 workload in half precision is not projected" in table.notes[1]


def test_the_newest_counts_of_a_workload_are_used_from_any_machine() -> None:
    newer = replace(
        BIG, machine=LINUX, device="cpu", flop_per_call=8 * 10**9, when=BIG.when + timedelta(1)
    )
    (table,) = projected(newer, BIG).tables
    assert table.rows[0][3].startswith("8.00 GFLOP, at most 1,920 MB")


def test_without_a_measurement_there_is_a_hint() -> None:
    section = projected()
    assert section.hint is not None
    assert section.hint.command == "nox -s bench"
    assert section.projected


def test_projections_are_opt_in_and_never_in_a_table_of_measurements() -> None:
    read = Loaded(measurements=(BIG, replace(BIG, machine=M4_PRO)))
    plain = report.build(read, find_chip)
    assert "projections" not in {each.id for each in plain.sections}
    section = report.build(read, find_chip, project=["Apple M4 Pro 20c"])
    rest = [each for each in section.sections if each.id != "projections"]
    assert replace(section, sections=tuple(rest)) == plain
    assert [each.id for each in section.sections if each.projected] == ["projections"]
    assert not any(s.projected for each in rest for plot in each.plots for s in plot.series)


def test_the_command_accepts_known_chips_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(DATA / "constructed_benchmarks_linux.json")
    assert main(["report", file, "-o", str(tmp_path), "--project", "Apple M9"]) == 2
    error = capsys.readouterr().err
    assert "unknown chip" in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())
    assert main(["report", file, "-o", str(tmp_path), "--project", "Apple M4 Pro 20c"]) == 0


def test_every_chip_with_both_limits_can_be_projected_onto() -> None:
    for one in chips.load():
        if one.fp32_tflops and one.memory_bandwidth:
            assert projection.chip(projection.name(one)) == one
