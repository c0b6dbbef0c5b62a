"""Which machines are compared, and how the measurements of a row are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hand_made import BASE, LINUX, find_chip, measurement, on_pro

from metalassay.errors import UserError
from metalassay.report.sections import side_by_side
from metalassay.report.sections.side_by_side import Compared, Row
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
