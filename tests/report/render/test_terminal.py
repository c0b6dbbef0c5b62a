"""The text for a terminal: no line wider than it, nothing lost, commands that a shell understands."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest
from constructed_origin import documents
from constructed_report import everything
from constructed_runs import build, loaded, measured, report_of
from hand_made import BASE, M4_PRO, find_chip, largest, on_pro

from metalassay import report
from metalassay.report.model import NOT_MEASURED, Hint, Report, Table
from metalassay.report.render import terminal
from metalassay.results.load import Loaded


def two_macs() -> Report:
    """Return a report of an M4 and an M4 Pro with other systems, with one search and without watts."""
    newer = replace(M4_PRO, release="macOS 26.1")
    pair = (
        replace(BASE, seconds=(0.064,) * 5, processes=5),
        on_pro(machine=newer, seconds=(0.032,) * 5, processes=5),
    )
    return report.build(Loaded((), pair, (), batches=(largest(),)), find_chip)


def reports() -> dict[str, Report]:
    mps = [replace(one, emulated=True) for name in ("m4", "m4_pro") for one in measured(name)]
    return {
        "nothing": build(),
        "one": build(measurements=measured("m4")),
        "two": two_macs(),
        "rehearsal": build(measurements=mps),
        "rehearsal in part": build(measurements=[*mps, *measured("m4_pro")]),
        "three": build(
            measurements=[one for name in ("m4", "m4_pro", "linux") for one in measured(name)]
        ),
        "sets": build(loaded("compat_fine", "compat_red", "compat_not_installable").compat),
        "origin": report_of(lambda document: document),
        "everything": everything(),
    }


@pytest.mark.parametrize("width", [60, 80, 100, 132])
@pytest.mark.parametrize("name", sorted(reports()))
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    lines = report.terminal_text(reports()[name], width).splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_the_reports_of_the_test_above_have_what_does_not_fit() -> None:
    assert len(documents()) > 5
    for name in ("one", "two", "three", "sets", "origin"):
        assert max(map(len, report.terminal_text(reports()[name], 400).splitlines())) > 100, name


@pytest.mark.parametrize("width", [60, 80])
def test_every_cell_is_printed_however_narrow_the_terminal(width: int) -> None:
    built = two_macs()
    assert built.key_figures is not None
    assert isinstance(built.comparison, Table)
    printed = report.terminal_text(built, width)
    flat = words(printed)
    for row in built.key_figures.rows:
        for cell in row:
            assert set(words(cell)) <= set(flat), cell
    assert "2.00x" in flat
    assert "26.1)" in flat


def words(text: str) -> list[str]:
    return re.findall(r"[^\s|]+", text)


def test_a_table_that_fits_is_that_of_the_markdown_page() -> None:
    table = Table("x", ("", "a"), (("one", "1"), ("two", "2")), (False, True))
    assert terminal.fitted(table, 80) == (
        "|     |   a |\n|:----|----:|\n| one |   1 |\n| two |   2 |"
    )


def test_a_wider_table_has_cells_of_several_lines() -> None:
    table = Table("x", ("", "head"), (("a long label of a row", "20 GB/s"),), (False, True))
    assert terminal.fitted(table, 24) == (
        "|              | head  |\n"
        "|--------------|-------|\n"
        "| a long label | 20    |\n"
        "| of a row     | GB/s  |"
    )


def test_a_rule_ends_each_row_of_several_lines() -> None:
    rows = (("a long label of a row", "1"), ("b", "2"))
    printed = terminal.fitted(Table("x", ("", "n"), rows, (False, True)), 20)
    assert [line[:3] for line in printed.splitlines()] == ["|  ", "|--", "| a", "| o", "|--", "| b"]


def test_a_table_whose_cells_would_be_high_becomes_a_list() -> None:
    table = Table(
        "x",
        ("", "machine", "a much longer head than that"),
        (("label", "one " * 20, "2"),),
        (False, True, True),
    )
    printed = terminal.fitted(table, 40)
    assert printed.splitlines()[0] == "label"
    assert "  machine" in printed
    assert printed.split().count("one") == 20
    assert printed.endswith("2")
    assert max(map(len, printed.splitlines())) <= 40


def test_commands_are_listed_below_the_table_each_once() -> None:
    table = Table(
        "x",
        ("", "M4", "M4 Pro"),
        ((("a"), NOT_MEASURED, NOT_MEASURED), ("b", NOT_MEASURED, "5")),
        (False, True, True),
        commands={(0, 1): "nox -s bench", (0, 2): "nox -s bench", (1, 1): "pip install x"},
    )
    printed = terminal.fitted(table, 80)
    assert printed.count("not measured (1)") == 2
    assert printed.count("not measured (2)") == 1
    assert printed.endswith(
        "(1) not measured on M4 and M4 Pro:\n    nox -s bench\n(2) not measured on M4:\n    pip install x"
    )


@pytest.mark.parametrize(
    "command",
    [
        "python -m pip install -e '.[bench,power]' && python -m pytest benchmarks --processes 5",
        "nox -s tests -- --verbose -k 'one or another of two or three' --fresh --strict",
        "short",
    ],
)
def test_a_long_command_goes_on_with_a_backslash_that_a_shell_understands(command: str) -> None:
    table = Table(
        "x", ("", "M4"), (("a", NOT_MEASURED),), (False, True), commands={(0, 1): command}
    )
    printed = terminal.fitted(table, 60)
    assert max(map(len, printed.splitlines())) <= 60
    typed = printed.partition("on M4:\n")[2]
    assert shlex.split(typed.replace("\\\n", "")) == shlex.split(command)
    assert (len(command) > 56) is ("\\\n" in typed)


def test_a_hint_that_does_not_fit_has_its_command_on_a_line_of_its_own() -> None:
    hint = Hint("A comparison needs the benchmark runs of two machines.", "metalassay report a b")
    printed = terminal.text(replace(build(), benchmarks=hint), 50)
    assert "\n  metalassay report a b\n" in printed


def test_what_no_machine_measured_is_left_to_the_pages() -> None:
    printed = report.terminal_text(two_macs(), 80)
    assert "gpt-small" not in printed
    assert "transit-cnn training" in printed


def test_the_six_figures_come_last_with_their_notes() -> None:
    printed = report.terminal_text(two_macs(), 200)
    figures = printed.index("in six figures: transit-cnn")
    assert printed.index("maximum batch size") < figures < printed.index("- A cell gives")
    assert printed.count("Two versions of macOS at a ratio") == 1


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    printed = report.terminal_text(two_macs())
    assert 60 < max(map(len, printed.splitlines())) <= 70


def test_values_that_all_rows_share_are_printed_once() -> None:
    text = report.terminal_text(build(measurements=measured("m4_pro")), 100).replace("\n", " ")
    assert (
        "macOS 15.1: batch 64, dtype float32, device mps, threads 10, torch 2.13.0, rounds 5"
        in text
    )
    assert "| workload    | mode      |   median items/s |" in text
