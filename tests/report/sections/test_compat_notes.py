"""Runs that are not whole, or left nothing to show: what the heads, the notes and the summary say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import constructed_origin
import pytest
from constructed_origin import BROKEN, FINE, UNEXPLAINED, mark, row, version_set, written

from metalassay import report
from metalassay.report.model import Column, CompatTable

PART = {"arguments": ["-k", "fine"], "deselected": 41, "partial": "-k"}
FAILED = {"test": "compat/test_x.py::test_y", "outcome": "failed", "evidence": "E   oh"}


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Return a function that makes the report of a folder with these files."""

    def make(**files: dict[str, Any]) -> tuple[report.Report, CompatTable]:
        names = {name.replace("__", "."): document for name, document in files.items()}
        return written(tmp_path, names)

    return make


def only(table: CompatTable) -> Column:
    (column,) = table.columns
    return column


def test_a_row_whose_last_run_did_not_finish_says_so(made: Any) -> None:
    built, table = made(
        x__json=version_set("x", "2026-11-20", FINE),
        x__unfinished=mark("x", "2026-11-28T11:03:07+01:00", "could not install:\nno route"),
    )
    assert only(table).mark == "last run did not finish"
    assert table.alerts == (
        "x: its last run, 2026-11-28 10:03 UTC, did not finish: could not install: no route; the column "
        'is of 2026-11-20; next: nox -s "compat(x)"',
    )
    assert built.summary_line == (
        "1 version set, 1 known bug: 0 RED, 1 fine, 1 set whose last run did not finish."
    )
    assert "1 set whose last run did not finish" in built.headline[1]
    assert table.rows[0].cells[0].text == "fine"


def test_a_row_that_never_finished_has_a_column_and_not_silence(made: Any) -> None:
    built, table = made(
        x__unfinished=mark("x", "2026-11-28T10:03:07+00:00", "interrupted"),
        y__json=version_set("y", "2026-11-20", FINE),
    )
    (x, _), (cell, _) = table.columns, table.rows[0].cells
    assert (x.id, x.state, x.mark) == ("x", "not finished", "not finished")
    assert (cell.text, cell.why) == ("not finished", "interrupted")
    assert table.alerts == (
        "x: its last run, 2026-11-28 10:03 UTC, did not finish: interrupted; there is no earlier one; "
        'next: nox -s "compat(x)"',
    )
    assert built.summary_line.endswith("0 RED, 1 fine, 1 set not finished.")
    assert "1 version set whose run did not finish" in built.headline[0]


def test_a_folder_with_a_mark_alone_is_a_report(made: Any) -> None:
    built, table = made(x__unfinished=mark("x", "2026-11-28T10:03:07+00:00", "interrupted"))
    assert built.summary_line == "1 version set, 0 known bugs: 0 RED, 0 fine, 1 set not finished."
    text = report.terminal_text(built, 80)
    assert "not finished" in text
    assert '  next: nox -s "compat(x)"' in text.splitlines()
    assert table.rows == ()


def test_an_old_mark_changes_nothing(made: Any) -> None:
    _, table = made(
        x__json=version_set("x", "2026-11-28", FINE),
        x__unfinished=mark("x", "2026-11-27T10:03:07+00:00", "interrupted"),
    )
    assert (only(table).mark, table.alerts) == ("", ())


def test_a_newer_partial_run_is_named_with_what_it_found(made: Any, tmp_path: Path) -> None:
    built, table = made(
        x__json=version_set("x", "2026-11-20", FINE, BROKEN),
        x__partial=version_set(
            "x", "2026-11-27", UNEXPLAINED, selection=PART, other_failures=[FAILED]
        ),
    )
    assert only(table).mark == "partial run beside it"
    assert [line.cells[0].text for line in table.rows] == ["fine", "broken"]
    assert table.alerts == (
        "x: a partial run (-k) of 2026-11-27 09:12 UTC is newer than the column, which is of 2026-11-20, "
        "and is not in it: 2 RED: lib-fine (unexplained), compat/test_x.py::test_y (failed) "
        f'({tmp_path / "x.partial"}); next: nox -s "compat(x)"',
    )
    assert "1 newer partial run not in the table (2 RED)" in built.summary_line
    assert "1 newer partial run not in the table (2 RED)" in built.headline[1]
    assert "9 version sets" not in built.headline[0]
    assert "the known bugs in 1 version set" in built.headline[0]


def test_a_partial_run_without_a_whole_one_says_what_was_left_out(made: Any) -> None:
    built, table = made(x__partial=version_set("x", "2026-11-27", FINE, selection=PART))
    assert only(table).mark == "partial: -k"
    assert only(table).selection == "partial: -k; 41 tests left out; pytest -k fine"
    assert table.alerts == (
        "x: this is a partial run (-k, 41 tests left out), and there is no whole one; "
        'next: nox -s "compat(x)"',
    )
    assert built.summary_line == "1 version set, 1 known bug: 0 RED, 1 fine, 1 set partial."


def test_without_a_row_of_the_matrix_the_next_command_is_pytest(made: Any) -> None:
    about = {**row("as installed"), "requires": []}
    _, table = made(x__partial=version_set("x", "2026-11-27", FINE, selection=PART, set=about))
    assert table.alerts[0].endswith("; next: pytest compat --verdicts FILE")


def test_sets_of_the_same_name_are_told_apart_by_machine(made: Any) -> None:
    machine = {"system": "Darwin", "release": "macOS 15.1", "machine": "arm64", "chip": "Apple M4"}
    _, table = made(
        x__json=version_set("x", "2026-11-20", FINE),
        y__partial=version_set("x", "2026-11-20", FINE, selection=PART, hardware=machine),
    )
    assert table.alerts[0].startswith("x on Apple M4: ")


def test_what_is_not_whole_is_in_every_output(tmp_path: Path) -> None:
    from metalassay.report.render import ci_summary, html, markdown

    built, table = written(tmp_path, constructed_origin.documents())
    pages = (
        markdown.render(built),
        report.terminal_text(built, 80),
        html.render(built),
        ci_summary.render(built),
    )
    for page in pages:
        for words in (
            *("last run did not finish", "not finished", "partial run beside it", "partial: -k"),
            *("5b1ce00fed", "commit not recorded", "2026-11-19", "0ddba110ddba (another)"),
            *("RED: crashed (signal 6)", "RED: 1 failed, 1 crashed", "(not pinned)"),
            *("not tested (slow)", "broken (partial)", "revision not recorded"),
            *("2 of 9 columns were judged with another revision", "no route to host"),
        ):
            assert words in page
    assert len(table.alerts) == 5


def test_alerts_fit_the_terminal_and_leave_their_commands_whole(tmp_path: Path) -> None:
    built, _ = written(tmp_path, constructed_origin.documents())
    alerts = report.terminal_text(built, 80).partition("\n- ")[2].partition("\n\n")[0]
    lines = [line for line in alerts.splitlines() if str(tmp_path) not in line]  # one path is long
    assert len(lines) > 8
    assert max(map(len, lines)) <= 80
    assert '  next: nox -s "compat(c-never-finished)"' in alerts.splitlines()
