"""Which machines are compared, and how the measurements of a row are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hand_made import BASE, LINUX, M4, M4_PRO, find_chip, largest, measurement, on_pro

from metalassay.errors import UserError
from metalassay.report.sections import side_by_side
from metalassay.report.sections.side_by_side import Compared, Ratio, Row
from metalassay.results.measurement import Measurement


def only_row(measured: Sequence[Measurement]) -> Row:
    (row,) = side_by_side.of(measured, find_chip).rows
    return row


def test_machines_are_in_the_order_of_their_chips() -> None:
    result = side_by_side.of([measurement(machine=LINUX), on_pro(), BASE], find_chip)
    assert result.short == ("Apple M4", "Apple M4 Pro", "AMD EPYC")


@pytest.mark.parametrize(
    ("wanted", "short"),
    [
        (["apple m4"], ("Apple M4",)),  # and not the Pro, of whose name it is a part
        (["M4"], ("Apple M4", "Apple M4 Pro")),
        (["epyc", "Apple  M4 Pro"], ("Apple M4 Pro", "AMD EPYC")),
        (["20-core"], ("Apple M4 Pro",)),
    ],
)
def test_machines_are_chosen_by_chip_or_by_a_part_of_their_name(
    wanted: list[str], short: tuple[str, ...]
) -> None:
    everyone = [measurement(machine=LINUX), on_pro(), BASE]
    assert side_by_side.of(everyone, find_chip, wanted=wanted).short == short


@pytest.mark.parametrize("wanted", ["M5", "", "  "])
def test_a_machine_that_was_not_measured_cannot_be_chosen(wanted: str) -> None:
    with pytest.raises(UserError, match="no machine is called") as caught:
        side_by_side.of([BASE], find_chip, wanted=[wanted])
    assert "Apple M4 (10-core GPU, 16 GB)" in caught.value.next_step


def test_without_a_measurement_there_is_nothing_to_compare() -> None:
    assert side_by_side.of([], find_chip) == Compared((), (), (), (), (), {})


def test_a_ratio_is_the_second_throughput_over_the_first() -> None:
    (ratio,) = only_row([on_pro(), BASE]).ratios
    assert ratio.value == pytest.approx(2.0)
    assert ratio.span is None


def test_the_measurements_of_a_row_that_differ_least_are_compared() -> None:
    newer = replace(BASE, versions={"torch": "2.14.0"}, when=BASE.when + timedelta(days=1))
    first, second = only_row([newer, BASE, on_pro()]).sides
    assert first is not None
    assert second is not None
    assert first[0].versions["torch"] == second[0].versions["torch"] == "2.13.0"


def test_of_one_machine_the_run_with_the_most_threads_is_shown() -> None:
    runs = [measurement(machine=LINUX, device="cpu", threads=n) for n in (1, 8, 2)]
    (side,) = only_row(runs).sides
    assert side is not None
    assert side[0].threads == 8


def test_a_row_has_no_ratio_but_the_reason_where_a_side_is_missing_or_refused() -> None:
    elsewhere = on_pro(batch_size=8)
    assert {row.ratios[0].why for row in side_by_side.of([BASE, elsewhere], find_chip).rows} == {
        "not measured on both"
    }
    impossible = on_pro(seconds=(1e-5,))
    assert only_row([BASE, impossible]).ratios[0].why == "refused"


def on_macos(release: str, **changes: Any) -> Measurement:
    return on_pro(**{"machine": replace(M4_PRO, release=release), **changes})


def test_a_ratio_between_two_versions_of_macos_is_given_and_marked() -> None:
    (ratio,) = only_row([BASE, on_macos("macOS 26.1")]).ratios
    assert ratio.value == pytest.approx(2.0)
    assert ratio.mark == "macOS 15.1 / 26.1"
    assert only_row([BASE, on_pro()]).ratios[0].mark == ""


def test_of_two_runs_that_differ_in_nothing_else_that_on_the_same_system_is_compared() -> None:
    later = on_macos("macOS 26.1", when=BASE.when + timedelta(days=1))
    _, second = only_row([BASE, on_pro(), later]).sides
    assert second is not None
    assert second[0].machine.release == "macOS 15.1"
    # but not one with another torch
    old = on_pro(versions={"torch": "2.12.0"})
    _, second = only_row([BASE, old, later]).sides
    assert second is not None
    assert second[0].machine.release == "macOS 26.1"


def test_a_rehearsal_has_no_ratio_not_even_over_another_one() -> None:
    pair = [replace(one, emulated=True) for one in (BASE, on_pro())]
    result = side_by_side.of(pair, find_chip)
    assert {(r.value, r.why) for row in result.rows for r in row.ratios} == {(None, "rehearsal")}
    assert result.short == ("Apple M4, rehearsal", "Apple M4 Pro, rehearsal")
    mixed = side_by_side.of([BASE, pair[1]], find_chip)
    assert {r.why for row in mixed.rows for r in row.ratios} == {"not measured on both"}
    assert mixed.short == ("Apple M4", "Apple M4 Pro, rehearsal")


def test_power_of_several_processes_has_a_ratio_with_an_interval() -> None:
    rail = {"watts_from": "GPU", "each_watts": (9.0, 10.0, 10.0, 10.0, 11.0), "watts": 10.0}
    pro = {**rail, "each_watts": (20.0,) * 5, "watts": 20.0}
    sides = only_row([measurement(**rail), on_pro(**pro)]).sides
    (ratio,) = side_by_side.watts_ratios(sides)
    assert ratio.value == 2.0
    assert ratio.span is not None
    low, high = ratio.span
    assert 20 / 11 <= low < 2.0 < high <= 20 / 9


def test_power_of_other_rails_is_not_compared() -> None:
    sides = only_row(
        [
            measurement(watts=10.0, watts_from="GPU", per_watt=1.0),
            on_pro(watts=20.0, watts_from="CPU + GPU", per_watt=1.0),
        ]
    ).sides
    for (ratio,) in (side_by_side.watts_ratios(sides), side_by_side.per_watt_ratios(sides)):
        assert ratio.value is None
        assert ratio.why == "not comparable: power of GPU and of CPU + GPU"


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        # fits, does not fit: the largest batch is in [100, 199] and in [400, 799]
        ((100, 200), (400, 800), Ratio(4.0, (400 / 199, 799 / 100))),
        ((100, 101), (400, 401), Ratio(4.0, (4.0, 4.0))),
        ((100, 200), (400, None), Ratio(None, why="at least 2.01x")),
        ((100, None), (400, 801), Ratio(None, why="at most 8.00x")),
        ((100, None), (400, None), Ratio(None)),
        ((0, 1), (400, 800), Ratio(None)),
    ],
)
def test_the_ratio_of_largest_batches_has_what_the_searches_leave_open(
    first: tuple[int, int | None], second: tuple[int, int | None], ratio: Ratio
) -> None:
    searches = [
        largest(machine=machine, largest=fits, limit=fails)
        for machine, (fits, fails) in zip((M4, M4_PRO), (first, second), strict=True)
    ]
    assert side_by_side.batch_ratios(searches) == (ratio,)


def test_searches_with_other_versions_of_torch_have_no_ratio() -> None:
    (ratio,) = side_by_side.batch_ratios([largest(), largest(versions={"torch": "2.12.0"})])
    assert ratio == Ratio(None, why="not comparable: torch 2.13.0 and 2.12.0")
    assert side_by_side.batch_ratios([largest(), None])[0].why == "not measured on both"


def test_the_row_that_stands_for_others_has_a_ratio_and_preferably_an_interval() -> None:
    alone = measurement(batch_size=512, seconds=(0.01,))
    single = [measurement(batch_size=8, seconds=(0.001,)), on_pro(batch_size=8)]
    several = [replace(one, seconds=(one.seconds[0],) * 5, processes=5) for one in (BASE, on_pro())]
    rows = side_by_side.of([alone, *single], find_chip).rows
    best = side_by_side.best(rows)
    assert best is not None
    assert best.key[2] == 8
    best = side_by_side.best([*rows, *side_by_side.of(several, find_chip).rows])
    assert best is not None
    assert best.key[2] == 64
    assert side_by_side.best([]) is None
