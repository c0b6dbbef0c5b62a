"""What a report says: whole tables, against the constructed runs in data/runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from metalassay import report, runs
from metalassay.chips import Chip, Figure
from metalassay.hardware import Hardware
from metalassay.records import Measurement, VersionSet
from metalassay.report import benchmarks, comparison, markdown
from metalassay.report import compared as side_by_side
from metalassay.report.rows import Hint, Table
from metalassay.runs import Loaded

DATA = Path(__file__).parent / "data" / "runs"


def loaded(*names: str) -> Loaded:
    """Read constructed files, each under its bare name."""
    found = runs.load([DATA / f"constructed_{name}.json" for name in names])
    return Loaded(
        tuple(replace(each, file=Path(each.file).name) for each in found.compat),
        tuple(replace(each, file=Path(each.file).name) for each in found.measurements),
        found.warnings,
    )


def measured(name: str) -> list[Measurement]:
    return list(loaded(f"benchmarks_{name}").measurements)


def find_chip(machine: Hardware) -> Chip | None:
    """Stand in for chips.find, with figures that do not change when the data does."""
    figures = {"Apple M4": (120.0, 4.0), "Apple M4 Pro": (273.0, 8.0)}.get(machine.chip or "")
    if figures is None:
        return None
    bandwidth, peak = Figure(figures[0], "published", ""), Figure(figures[1], "estimate", "")
    return Chip(machine.chip or "", 4, (), machine.gpu_cores, bandwidth, peak, None, None, ())


def build(
    sets: Iterable[VersionSet] = (),
    measurements: Iterable[Measurement] = (),
    warnings: Iterable[str] = (),
) -> report.Report:
    return report.build(Loaded(tuple(sets), tuple(measurements), tuple(warnings)), find_chip)


def compared(*measurements: Measurement) -> Table:
    table = comparison.table(side_by_side.of(measurements, find_chip))
    assert table is not None
    return table


def row(table: Table, label: str) -> tuple[str, ...]:
    (found,) = [each for each in table.rows if each[0] == label]
    return found[1:]


def test_the_compatibility_table_has_bugs_down_and_version_sets_across() -> None:
    made = build(
        loaded("compat_fine", "compat_patched", "compat_red", "compat_not_installable").compat
    )
    assert (
        markdown.compat_table(made)
        == """\
Known bugs by version set, on Apple M4 (10-core GPU, 16 GB) and AMD EPYC 9B14 (8 GB, virtual machine)

|                        | accelerate-1.8.0                      | accelerate-1.9.0              | accelerate-1.10.0                     | guide                                 |
|:-----------------------|:--------------------------------------|:------------------------------|:--------------------------------------|:--------------------------------------|
| accelerate             | 1.8.0                                 | 1.9.0                         | 1.10.0                                | wanted ==1.1.1                        |
| torch                  | 2.13.0+cpu                            | 2.13.0                        | 2.13.0+cpu                            | wanted ==2.13.0                       |
| transformers           | 4.52.4                                | 4.52.4                        | 4.52.4                                | wanted ==4.52.4                       |
| python                 | 3.11.7                                | 3.11.7                        | 3.11.7                                | 3.11.7                                |
| platform               | Linux x86_64                          | macOS arm64                   | Linux x86_64                          | Linux x86_64                          |
| machine                | AMD EPYC 9B14 (8 GB, virtual machine) | Apple M4 (10-core GPU, 16 GB) | AMD EPYC 9B14 (8 GB, virtual machine) | AMD EPYC 9B14 (8 GB, virtual machine) |
| accelerate-empty-shard | broken, patch works                   | RED: unexplained              | fine                                  | not installable                       |
| accelerate-mps-oom     | not tested: needs a Mac with Metal    | not tested: not in this run   | broken                                | not installable                       |"""
    )
    assert made.summary_line == (
        "4 version sets, 2 known bugs: 1 RED, 1 fine, 2 broken as known (a patch cures 1), "
        "2 not tested, 1 set not installable."
    )


def test_one_machine_is_named_once_and_sets_that_do_not_fit_go_below() -> None:
    made = build(loaded("compat_fine", "compat_patched").compat)
    assert (
        markdown.compat_table(made, width=64)
        == """\
Known bugs by version set, on AMD EPYC 9B14 (8 GB, virtual machine)

|                        | accelerate-1.8.0                   |
|:-----------------------|:-----------------------------------|
| accelerate             | 1.8.0                              |
| torch                  | 2.13.0+cpu                         |
| transformers           | 4.52.4                             |
| python                 | 3.11.7                             |
| platform               | Linux x86_64                       |
| accelerate-empty-shard | broken, patch works                |
| accelerate-mps-oom     | not tested: needs a Mac with Metal |

|                        | accelerate-1.10.0   |
|:-----------------------|:--------------------|
| accelerate             | 1.10.0              |
| torch                  | 2.13.0+cpu          |
| transformers           | 4.52.4              |
| python                 | 3.11.7              |
| platform               | Linux x86_64        |
| accelerate-empty-shard | fine                |
| accelerate-mps-oom     | broken              |"""
    )


def test_the_benchmark_table_names_its_machine_and_labels_what_is_a_bound() -> None:
    made = build(measurements=measured("m4"))
    assert (
        markdown.benchmark_table(made)
        == """\
Apple M4 (10-core GPU, 16 GB), macOS 15.1

| workload    | mode      |   batch | dtype   | device   |   threads | torch   |   median items/s |       quartiles |   rounds |   GFLOP/s |   GB/s at most |
|:------------|:----------|--------:|:--------|:---------|----------:|:--------|-----------------:|----------------:|---------:|----------:|---------------:|
| transit-cnn | training  |      64 | float32 | mps      |         4 | 2.13.0  |  1,000 samples/s |     952 \N{EN DASH} 1,050 |        5 |      67.2 |      7.64 (6%) |
| transit-cnn | inference |      64 | float32 | mps      |         4 | 2.13.0  |  4,000 samples/s |   3,810 \N{EN DASH} 4,210 |        5 |      90.8 |     12.5 (10%) |
| gpt-tiny    | training  |       8 | float32 | mps      |         4 | 2.13.0  |  51,200 tokens/s | 48,800 \N{EN DASH} 53,900 |        5 |      12.0 |      9.00 (8%) |"""
    )
    assert made.summary_line == "3 measurements of 1 machine."


def test_two_machines_are_compared_in_the_known_shape_with_the_m4_first() -> None:
    made = build(measurements=[*measured("m4_pro"), *measured("m4")])
    page = markdown.render(made)
    table = page.partition("## Apple M4 vs Apple M4 Pro\n\n")[2].partition("\n\n")[0]
    assert (
        table
        == """\
|                                                                              |   Apple M4 (10-core GPU, 16 GB) |   Apple M4 Pro (20-core GPU, 24 GB) |   Apple M4 Pro / Apple M4 |
|:-----------------------------------------------------------------------------|--------------------------------:|------------------------------------:|--------------------------:|
| transit-cnn training, samples/s, batch 64 (float32, mps)                     |             1,000 (952 \N{EN DASH} 1,050) |               2,000 (1,900 \N{EN DASH} 2,110) |                     2.00x |
| transit-cnn inference, samples/s, batch 64 (float32, mps)                    |           4,000 (3,810 \N{EN DASH} 4,210) |               6,400 (6,100 \N{EN DASH} 6,740) |                     1.60x |
| gpt-tiny training, tokens/s, batch 8 (float32, mps)                          |        51,200 (48,800 \N{EN DASH} 53,900) |                        not measured |                         \N{EN DASH} |
| gpt-tiny inference, tokens/s                                                 |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-small training, tokens/s                                                 |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-small inference, tokens/s                                                |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-original training, tokens/s                                              |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-original inference, tokens/s                                             |                    not measured |                        not measured |                         \N{EN DASH} |
| maximum batch size                                                           |                    not measured |                        not measured |                         \N{EN DASH} |
| memory bandwidth utilisation, transit-cnn training, batch 64 (float32, mps)  |          at most 6% of 120 GB/s |              at most 6% of 273 GB/s |                         \N{EN DASH} |
| memory bandwidth utilisation, transit-cnn inference, batch 64 (float32, mps) |         at most 10% of 120 GB/s |              at most 7% of 273 GB/s |                         \N{EN DASH} |
| memory bandwidth utilisation, gpt-tiny training, batch 8 (float32, mps)      |          at most 8% of 120 GB/s |                        not measured |                         \N{EN DASH} |
| power, W                                                                     |                    not measured |                        not measured |                         \N{EN DASH} |
| samples/s per watt                                                           |                    not measured |                        not measured |                         \N{EN DASH} |"""
    )
    assert "they cannot carry a confidence interval" in page


TRAINING = "transit-cnn training, samples/s, batch 64 (float32, mps)"


def test_measurements_that_ran_differently_get_no_ratio_but_the_reason() -> None:
    older = [replace(m, versions={**m.versions, "torch": "2.12.0"}) for m in measured("m4_pro")]
    *_, ratio = row(compared(*measured("m4"), *older), TRAINING)
    assert ratio == "not comparable: torch 2.13.0 and 2.12.0"


@pytest.mark.parametrize("machine", ["m4", "m4_pro"])
def test_of_several_runs_the_ones_that_are_comparable_are_compared(machine: str) -> None:
    newer = [
        replace(m, versions={"torch": "2.14.0"}, when=m.when + timedelta(days=9), seconds=(1e-2,))
        for m in measured(machine)
    ]
    assert row(compared(*newer, *measured("m4"), *measured("m4_pro")), TRAINING)[2] == "2.00x"


def test_a_time_no_chip_can_reach_is_refused_and_its_numbers_are_not_printed() -> None:
    unsynchronised = replace(measured("m4")[0], seconds=(1e-4,) * 5)  # 640,000 samples/s
    made = build(measurements=[unsynchronised, measured("m4_pro")[0]])
    assert isinstance(made.comparison, Table)
    assert row(made.comparison, TRAINING)[::2] == ("refused", "\N{EN DASH}")
    assert any("clock most likely stopped" in note for note in made.comparison.notes)
    text = markdown.render(made)
    assert "refused: faster than the chip's arithmetic (4 TFLOP/s in float32) allows" in text
    assert "640,000" not in text
    assert "43,0" not in text  # GFLOP/s: 42,976 implied


def test_wrong_numbers_stand_beside_their_speed_and_are_said_once() -> None:
    wrong = [replace(one, parity="backward: 3 of 8 values differ") for one in measured("m4")[:2]]
    text = markdown.render(build(measurements=[*wrong, *measured("m4")[2:]]))
    assert text.count("/s, WRONG NUMBERS") == 2
    said = {one.workload for one in wrong}
    assert text.count("WRONG NUMBERS: ") == len(said)
    assert "backward: 3 of 8 values differ" in text


def test_an_emulated_device_is_refused() -> None:
    text = markdown.render(build(measurements=[replace(measured("m4")[0], emulated=True)]))
    assert "refused: the device was emulated" in text
    assert "| mps (emulated) |" in text
    assert "| mps " not in text.replace("| mps (emulated) |", "")
    assert "1,000 samples" not in text


def test_a_count_above_the_bandwidth_bounds_nothing() -> None:
    heavy = replace(measured("m4")[0], bytes_per_call=64 * 10**9)  # 1000 GB/s
    made = build(measurements=[heavy, measured("m4_pro")[0]])
    assert isinstance(made.benchmarks, tuple)
    assert made.benchmarks[0].rows[0][-1] == "1,000"
    assert isinstance(made.comparison, Table)
    label = "memory bandwidth utilisation, transit-cnn training, batch 64 (float32, mps)"
    assert row(made.comparison, label)[0] == "not known: the count is above 120 GB/s"


def test_a_machine_we_know_nothing_of_gets_no_share_and_no_guess() -> None:
    made = build(measurements=measured("linux"))
    assert isinstance(made.benchmarks, tuple)
    (table,) = made.benchmarks
    assert [each[-1] for each in table.rows] == ["2.44", "3.99"]
    assert "not known, so no figure is held against them" in table.notes[1]


def test_fewer_than_four_rounds_have_no_quartiles() -> None:
    made = build(measurements=[replace(measured("m4")[0], seconds=(0.064, 0.06, 0.07))])
    assert isinstance(made.benchmarks, tuple)
    assert made.benchmarks[0].rows[0][7:10] == ("1,000 samples/s", "\N{EN DASH}", "3")


def test_a_machine_is_its_hardware_not_its_file_nor_its_system() -> None:
    first = measured("m4")
    updated = replace(first[0].machine, release="macOS 15.2")
    again = [replace(m, machine=updated, file="other/x.json") for m in first]
    made = build(measurements=[*first, *again])
    assert isinstance(made.benchmarks, tuple)
    assert [table.caption for table in made.benchmarks] == [
        "Apple M4 (10-core GPU, 16 GB), macOS 15.1 and macOS 15.2"
    ]
    assert made.comparison == Hint(
        "A comparison needs benchmark runs of two machines. Run the benchmarks on the other one, "
        "copy its reports folder here as OTHER, and name both.",
        "metalassay report reports OTHER",
    )


def test_an_older_run_of_the_same_is_left_out_and_said() -> None:
    first = measured("m4")[0]
    newer = replace(first, seconds=(0.032,) * 5, when=first.when + timedelta(hours=1))
    made = build(measurements=[newer, first])
    assert isinstance(made.benchmarks, tuple)
    (table,) = made.benchmarks
    assert [each[7] for each in table.rows] == ["2,000 samples/s"]
    assert table.notes[-1] == "1 older measurement(s) under the same conditions are left out."

    (fine,) = loaded("compat_fine").compat
    rerun = replace(fine, started=fine.started + timedelta(days=1), file="new.json")
    made = build([rerun, fine])
    assert not isinstance(made.compat, Hint)
    assert [column.file for column in made.compat.columns] == ["new.json"]
    assert made.compat.notes == (
        "1 older run(s) of the same versions on the same machine are left out.",
    )


def test_a_set_that_contradicts_itself_is_shown_as_unreadable() -> None:
    (fine,) = loaded("compat_fine").compat
    made = build([replace(fine, distrusted="x is called fine")], warnings=["x.json: …"])
    assert not isinstance(made.compat, Hint)
    assert {cell.text for each in made.compat.rows for cell in each.cells} == {"unreadable"}
    assert "x is called fine" in made.compat.notes[0]
    assert made.summary_line == (
        "1 version set, 2 known bugs: 0 RED, 0 fine, 1 set unreadable; 1 warning."
    )


@pytest.mark.parametrize("word", ["patch fails", "fixed upstream?", "unexplained"])
def test_red_is_spelled_out(word: str) -> None:
    (fine,) = loaded("compat_fine").compat
    bugs = tuple(replace(bug, verdict=word) for bug in fine.bugs)
    made = build([replace(fine, bugs=bugs)])
    assert not isinstance(made.compat, Hint)
    assert {(c.text, c.tone) for r in made.compat.rows for c in r.cells} == {
        (f"RED: {word}", "red")
    }


def test_without_a_file_the_report_says_so_and_how_to_make_one() -> None:
    made = build()
    assert made.summary_line == "Nothing has been measured yet: no result file was read."
    assert (
        report.terminal_text(made, 80)
        == """\
No verdict file was read. To make one: `nox -s compat`

No benchmark run was read. To make one: `nox -s bench`

Nothing has been measured yet: no result file was read."""
    )


def test_the_terminal_says_once_what_all_rows_share() -> None:
    text = report.terminal_text(build(measurements=measured("m4_pro")), 100)
    assert (
        "macOS 15.1: batch 64, dtype float32, device mps, threads 10, torch 2.13.0, rounds 5"
        in text
    )
    assert "| workload    | mode      |   median items/s |" in text


def test_a_set_that_could_not_be_installed_is_no_machine() -> None:
    (impossible,) = loaded("compat_not_installable").compat
    elsewhere = replace(impossible, hardware=Hardware("Linux", "6.1", "aarch64", *[None] * 10))
    beside = markdown.compat_table(build([*loaded("compat_fine").compat, elsewhere]))
    assert " and " not in beside.splitlines()[0]
    assert "| machine" not in beside
    alone = markdown.compat_table(build([elsewhere]))
    assert alone.splitlines()[0] == "Known bugs by version set"


def test_the_page_has_a_size_and_what_is_not_shown_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmarks, "MOST_ROWS", 8)
    one = measured("m4")[0]
    many = [replace(one, batch_size=n) for n in range(1, 11)]
    (table,) = benchmarks.tables(many, find_chip)
    assert [row[2] for row in table.rows] == [str(n) for n in range(1, 9)]
    assert "2 further measurement(s) are not shown. Name fewer files." in table.notes
    # Two rows and a frame of three leave three of the eight; a second machine takes them.
    machines = [replace(one.machine, memory_bytes=n * 2**30) for n in (8, 16, 24, 32)]
    fleet = [replace(each, machine=machine) for machine in machines for each in many[:2]]
    tables = benchmarks.tables(fleet, find_chip)
    assert [len(each.rows) for each in tables] == [2, 2]
    assert tables[-1].notes[-1] == "2 further machine(s) are not shown. Name fewer files."
