"""The conditions: one row per set of conditions, differences marked, flags listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE, LINUX, M4, find_chip, largest, measurement, on_pro

from metalassay.report.model import NO_VALUE, Table
from metalassay.report.sections import conditions
from metalassay.report.sections import side_by_side as compared
from metalassay.results import load
from metalassay.results.latest import groups_of
from metalassay.results.measurement import Measurement
from metalassay.results.parse import LargestBatch, VersionSet

DATA = Path(__file__).parents[2] / "data" / "runs"


def table(
    measured: Sequence[Measurement],
    sets: Sequence[VersionSet] = (),
    batches: Sequence[LargestBatch] = (),
    **more: Any,
) -> Table:
    side_by_side = compared.of(measured, find_chip, batches, **more)
    result = conditions.table(groups_of(sets, measured, batches), measured, side_by_side)
    assert result is not None
    return result


def marked(table: Table) -> set[tuple[str, str]]:
    """Return the marked cells as (head, text)."""
    return {(table.head[column], table.rows[row][column]) for row, column in table.marked}


def test_files_of_the_same_conditions_share_a_row() -> None:
    later = BASE.when + timedelta(hours=2)
    ones = [
        measurement(file=f"{n}.json", when=later if n else BASE.when, mode=mode)
        for n in range(3)
        for mode in ("train", "infer")
    ]
    result = table(ones)
    assert result.head[-3:] == ("files", "contents", "when (UTC)")
    (row,) = result.rows
    assert row[-3:] == ("3", "6 measurements", "2026-11-21 13:00 to 2026-11-21 15:00")
    assert row[:3] == ("Apple M4 (10-core GPU, 16 GB)", "macOS 15.1", "3.11.7")
    assert row[6:10] == ("mps", NO_VALUE, NO_VALUE, NO_VALUE)  # threads do not count on a GPU
    assert result.marked == frozenset()


def test_ten_thousand_files_are_still_one_row() -> None:
    (row,) = table([measurement(file=f"{n}.json") for n in range(10_000)]).rows
    assert row[-3] == "10,000"


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 1},
        {"malloc": "tuned"},
        {"power_mode": "low"},
        {"thermal_pressure": "heavy"},
        {"versions": {"torch": "2.12.0"}},
        {"machine": replace(M4, release="macOS 26.0")},
    ],
)
def test_different_conditions_get_different_rows(change: dict[str, Any]) -> None:
    assert len(table([measurement(device="cpu"), measurement(device="cpu", **change)]).rows) == 2


def test_only_differences_between_compared_machines_are_marked() -> None:
    pro = on_pro(
        versions={"python": "3.11.7", "torch": "2.12.0"},
        machine=replace(on_pro().machine, release="macOS 26.0"),
    )
    result = table([BASE, pro])
    assert marked(result) == {
        ("torch", "2.13.0"),
        ("torch", "2.12.0"),
        ("system", "macOS 15.1"),
        ("system", "macOS 26.0"),
    }
    assert "(system, torch)" in result.notes[0]


def test_a_value_that_every_machine_has_is_not_marked_even_if_one_has_others_too() -> None:
    again = on_pro(versions={"python": "3.11.7", "torch": "2.12.0"}, file="again.json")
    assert marked(table([BASE, on_pro(), again])) == {("torch", "2.12.0")}


def test_the_local_part_of_a_version_does_not_count_as_a_difference() -> None:
    built_for_cpu = on_pro(versions={"python": "3.11.7", "torch": "2.13.0+cpu"})
    assert table([BASE, built_for_cpu]).marked == frozenset()


def test_an_unknown_value_does_not_count_as_a_difference() -> None:
    assert table([BASE, on_pro(power_mode="automatic")]).marked == frozenset()
    both = [measurement(power_mode="low"), on_pro(power_mode="automatic")]
    assert marked(table(both)) == {("power mode", "low"), ("power mode", "automatic")}


def test_the_version_of_the_system_counts_as_a_difference_on_mps_only() -> None:
    linux = measurement(machine=LINUX, device="cpu")
    assert table([measurement(device="cpu"), linux]).marked == frozenset()
    assert table([BASE, linux]).marked == frozenset()


def test_machines_that_are_not_compared_are_not_marked() -> None:
    old = measurement(machine=LINUX, device="cpu", versions={"torch": "2.5.0"})
    assert table([BASE, on_pro(), old], wanted=["M4"]).marked == frozenset()
    assert table([BASE, old], wanted=["Apple M4"]).marked == frozenset()


def test_version_sets_get_one_row_per_machine_and_python() -> None:
    names = ("fine", "patched", "not_installable")
    sets = load.load([DATA / f"constructed_compat_{name}.json" for name in names]).compat
    result = table([], sets)
    assert [row[4] for row in result.rows] == ["2 versions"]  # accelerate
    assert [row[-3] for row in result.rows] == ["3"]
    assert [row[-2] for row in result.rows] == ["2 version sets, 1 set that could not be installed"]
    assert result.marked == frozenset()


def test_a_search_for_the_largest_batch_has_a_row() -> None:
    (row,) = table([], batches=[largest()]).rows
    assert row[-2] == "1 search for the largest batch"


def test_flags_are_listed_by_kind_with_their_number() -> None:
    hot = "throttled: before it the processor ran at 80% of its speed"
    hotter = "throttled: before it the processor ran at 62.5% of its speed"
    ones = [
        measurement(flags=(hot, "on battery: the system saves power")),
        measurement(mode="infer", flags=(hotter,)),
        on_pro(flags=(hot,)),
    ]
    assert [note for note in table(ones).notes if note.startswith("Doubtful")] == [
        f"Doubtful on Apple M4 (10-core GPU, 16 GB): transit-cnn training, batch 64: {hot}; "
        "1 more of this kind.",
        "Doubtful on Apple M4 (10-core GPU, 16 GB): transit-cnn training, batch 64: "
        "on battery: the system saves power.",
        f"Doubtful on Apple M4 Pro (20-core GPU, 24 GB): transit-cnn training, batch 64: {hot}.",
    ]


def test_the_number_of_flags_and_rows_is_limited() -> None:
    strange = [measurement(flags=(f"mark {'x' * n}",)) for n in range(conditions.MOST_DOUBTS + 5)]
    notes = table(strange).notes
    assert len(notes) == conditions.MOST_DOUBTS + 1
    assert notes[-1] == "5 further kinds of doubt are not listed."
    many = [
        measurement(versions={"torch": f"2.{n}.0"}, file=f"{n}.json")
        for n in range(conditions.MOST_ROWS + 4)
    ]
    result = table(many)
    assert len(result.rows) == conditions.MOST_ROWS
    assert result.notes == ("4 further rows (in 4 files) are not shown.",)
    assert result.rows[2][3] == "2.2.0"  # by number: 2.10.0 comes later


def test_without_a_file_there_is_no_table() -> None:
    assert conditions.table([], [], compared.of([], find_chip)) is None
