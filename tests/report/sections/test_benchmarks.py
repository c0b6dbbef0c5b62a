"""The benchmark tables: which measurements are shown, refused, compared, or only counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from constructed_runs import build, loaded, measured
from hand_made import find_chip

from metalassay.report.model import Hint, Table
from metalassay.report.render import markdown
from metalassay.report.sections import benchmarks, comparison, side_by_side
from metalassay.results.parse import Measurement

TRAINING = "transit-cnn training, samples/s, batch 64 (float32, mps)"


def compared(*measurements: Measurement) -> Table:
    table = comparison.table(side_by_side.of(measurements, find_chip))
    assert table is not None
    return table


def row(table: Table, label: str) -> tuple[str, ...]:
    (found,) = [each for each in table.rows if each[0] == label]
    return found[1:]


def test_measurements_under_different_conditions_get_a_reason_instead_of_a_ratio() -> None:
    older = [replace(m, versions={**m.versions, "torch": "2.12.0"}) for m in measured("m4_pro")]
    *_, ratio = row(compared(*measured("m4"), *older), TRAINING)
    assert ratio == "not comparable: torch 2.13.0 and 2.12.0"


@pytest.mark.parametrize("machine", ["m4", "m4_pro"])
def test_the_comparable_ones_of_several_runs_are_compared(machine: str) -> None:
    newer = [
        replace(m, versions={"torch": "2.14.0"}, when=m.when + timedelta(days=9), seconds=(1e-2,))
        for m in measured(machine)
    ]
    assert row(compared(*newer, *measured("m4"), *measured("m4_pro")), TRAINING)[2] == "2.00x"


def test_an_impossible_time_is_refused_and_its_numbers_are_not_printed() -> None:
    unsynchronised = replace(measured("m4")[0], seconds=(1e-4,) * 5)  # 640,000 samples/s
    built = build(measurements=[unsynchronised, measured("m4_pro")[0]])
    assert isinstance(built.comparison, Table)
    assert row(built.comparison, TRAINING)[::2] == ("refused", "\N{EN DASH}")
    assert any("clock most likely stopped" in note for note in built.comparison.notes)
    text = markdown.render(built)
    assert "refused: faster than the chip's arithmetic (4 TFLOP/s in float32) allows" in text
    assert "640,000" not in text
    assert "43,0" not in text  # GFLOP/s: 42,976 implied


def test_wrong_numbers_are_shown_beside_the_speed_and_explained_once() -> None:
    wrong = [replace(one, parity="backward: 3 of 8 values differ") for one in measured("m4")[:2]]
    text = markdown.render(build(measurements=[*wrong, *measured("m4")[2:]]))
    assert text.count("/s, WRONG NUMBERS") == 2
    wrong_workloads = {one.workload for one in wrong}
    assert text.count("WRONG NUMBERS: ") == len(wrong_workloads)
    assert "backward: 3 of 8 values differ" in text


def test_an_emulated_device_is_refused() -> None:
    text = markdown.render(build(measurements=[replace(measured("m4")[0], emulated=True)]))
    assert "refused: the device was emulated" in text
    assert "| mps (emulated) |" in text
    assert "| mps " not in text.replace("| mps (emulated) |", "")
    assert "1,000 samples" not in text


def test_a_count_above_the_bandwidth_gives_no_share() -> None:
    heavy = replace(measured("m4")[0], bytes_per_call=64 * 10**9)  # 1000 GB/s
    built = build(measurements=[heavy, measured("m4_pro")[0]])
    assert isinstance(built.benchmarks, tuple)
    assert built.benchmarks[0].rows[0][-1] == "1,000"
    assert isinstance(built.comparison, Table)
    label = "memory bandwidth utilisation, transit-cnn training, batch 64 (float32, mps)"
    assert row(built.comparison, label)[0] == "not known: the count exceeds 120 GB/s"


def test_an_unknown_machine_gets_no_share() -> None:
    built = build(measurements=measured("linux"))
    assert isinstance(built.benchmarks, tuple)
    (table,) = built.benchmarks
    assert [each[-1] for each in table.rows] == ["2.44", "3.99"]
    assert "not known, so no figure is checked against them" in table.notes[1]


def test_fewer_than_four_rounds_have_no_quartiles() -> None:
    built = build(measurements=[replace(measured("m4")[0], seconds=(0.064, 0.06, 0.07))])
    assert isinstance(built.benchmarks, tuple)
    assert built.benchmarks[0].rows[0][7:10] == ("1,000 samples/s", "\N{EN DASH}", "3")


def test_a_machine_is_identified_by_its_hardware_and_not_by_file_or_system() -> None:
    first = measured("m4")
    updated = replace(first[0].machine, release="macOS 15.2")
    again = [replace(m, machine=updated, file="other/x.json") for m in first]
    built = build(measurements=[*first, *again])
    assert isinstance(built.benchmarks, tuple)
    assert [table.caption for table in built.benchmarks] == [
        "Apple M4 (10-core GPU, 16 GB), macOS 15.1 and macOS 15.2"
    ]
    assert built.comparison == Hint(
        "A comparison needs benchmark runs of two machines. Run the benchmarks on the other "
        "machine, copy its reports folder here as OTHER, and name both folders.",
        "metalassay report reports OTHER",
    )


def test_an_older_run_under_the_same_conditions_is_counted_and_not_shown() -> None:
    first = measured("m4")[0]
    newer = replace(first, seconds=(0.032,) * 5, when=first.when + timedelta(hours=1))
    built = build(measurements=[newer, first])
    assert isinstance(built.benchmarks, tuple)
    (table,) = built.benchmarks
    assert [each[7] for each in table.rows] == ["2,000 samples/s"]
    assert table.notes[-1] == "1 older measurement under the same conditions is not shown."

    (fine,) = loaded("compat_fine").compat
    rerun = replace(fine, started=fine.started + timedelta(days=1), file="new.json")
    built = build([rerun, fine])
    assert not isinstance(built.compat, Hint)
    assert [column.file for column in built.compat.columns] == ["new.json"]
    assert built.compat.notes == (
        "1 older run of the same versions on the same machine is not shown.",
    )


def test_the_number_of_rows_is_limited_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmarks, "MOST_ROWS", 8)
    one = measured("m4")[0]
    many = [replace(one, batch_size=n) for n in range(1, 11)]
    (table,) = benchmarks.tables(many, find_chip)
    assert [row[2] for row in table.rows] == [str(n) for n in range(1, 9)]
    assert "2 further measurements are not shown. To see more, name fewer files." in table.notes
    # Two rows and a frame of three leave three of the eight; a second machine takes them.
    machines = [replace(one.machine, memory_bytes=n * 2**30) for n in (8, 16, 24, 32)]
    fleet = [replace(each, machine=machine) for machine in machines for each in many[:2]]
    tables = benchmarks.tables(fleet, find_chip)
    assert [len(each.rows) for each in tables] == [2, 2]
    assert (
        tables[-1].notes[-1] == "2 further machines are not shown. To see more, name fewer files."
    )
