"""The compatibility table: bugs down, version sets across, and what a cell says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from constructed_origin import (
    BROKEN,
    CRASHED,
    FINE,
    IN_PART,
    UNTESTED_SLOW,
    documents,
    version_set,
    written,
)
from constructed_runs import build, loaded

from metalassay.machine.hardware import Hardware
from metalassay.report.model import CompatTable, Hint
from metalassay.report.render import markdown, terminal


def test_the_compatibility_table_has_bugs_down_and_version_sets_across() -> None:
    built = build(
        loaded("compat_fine", "compat_patched", "compat_red", "compat_not_installable").compat
    )
    assert (
        markdown.compat_table(built)
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
| recorded (UTC)         | 2026-11-21                            | 2026-11-21                    | 2026-11-21                            | 2026-11-21                            |
| metalassay             | commit not recorded                   | commit not recorded           | commit not recorded                   | commit not recorded                   |
| accelerate-empty-shard | broken, patch works                   | RED: unexplained              | fine                                  | not installable                       |
| accelerate-mps-oom     | not tested: needs a Mac with Metal    | not tested: not in this run   | broken                                | not installable                       |"""
    )
    assert built.summary_line == (
        "4 version sets, 2 known bugs: 1 RED, 1 fine, 2 broken as known (a patch fixes 1), "
        "2 not tested, 1 set not installable."
    )


def test_a_single_machine_is_named_once_and_sets_that_do_not_fit_get_a_further_table() -> None:
    built = build(loaded("compat_fine", "compat_patched").compat)
    assert isinstance(built.compat, CompatTable)
    assert (
        terminal.compat_table(built.compat, width=64)
        == """\
Known bugs by version set, on AMD EPYC 9B14 (8 GB, virtual
machine)

|                        | accelerate-1.8.0                   |
|:-----------------------|:-----------------------------------|
| accelerate             | 1.8.0                              |
| torch                  | 2.13.0+cpu                         |
| transformers           | 4.52.4                             |
| python                 | 3.11.7                             |
| platform               | Linux x86_64                       |
| recorded (UTC)         | 2026-11-21                         |
| metalassay             | commit not recorded                |
| accelerate-empty-shard | broken, patch works                |
| accelerate-mps-oom     | not tested: needs a Mac with Metal |

|                        | accelerate-1.10.0   |
|:-----------------------|:--------------------|
| accelerate             | 1.10.0              |
| torch                  | 2.13.0+cpu          |
| transformers           | 4.52.4              |
| python                 | 3.11.7              |
| platform               | Linux x86_64        |
| recorded (UTC)         | 2026-11-21          |
| metalassay             | commit not recorded |
| accelerate-empty-shard | fine                |
| accelerate-mps-oom     | broken              |"""
    )


def test_a_set_that_contradicts_itself_is_shown_as_unreadable() -> None:
    (fine,) = loaded("compat_fine").compat
    built = build([replace(fine, distrusted="x is called fine")], warnings=["x.json: …"])
    assert not isinstance(built.compat, Hint)
    assert {cell.text for each in built.compat.rows for cell in each.cells} == {"unreadable"}
    assert "x is called fine" in built.compat.notes[0]
    assert built.summary_line == (
        "1 version set, 2 known bugs: 0 RED, 0 fine, 1 set unreadable; 1 warning."
    )


@pytest.mark.parametrize("word", ["patch fails", "fixed upstream?", "unexplained"])
def test_the_kind_of_a_red_verdict_is_spelled_out(word: str) -> None:
    (fine,) = loaded("compat_fine").compat
    bugs = tuple(replace(bug, verdict=word) for bug in fine.bugs)
    built = build([replace(fine, bugs=bugs)])
    assert not isinstance(built.compat, Hint)
    assert {(c.text, c.tone) for r in built.compat.rows for c in r.cells} == {
        (f"RED: {word}", "red")
    }


def test_a_set_that_could_not_be_installed_does_not_count_as_a_machine() -> None:
    (impossible,) = loaded("compat_not_installable").compat
    elsewhere = replace(impossible, hardware=Hardware("Linux", "6.1", "aarch64", *[None] * 10))
    beside = markdown.compat_table(build([*loaded("compat_fine").compat, elsewhere]))
    assert " and " not in beside.splitlines()[0]
    assert "| machine" not in beside
    alone = markdown.compat_table(build([elsewhere]))
    assert alone.splitlines()[0] == "Known bugs by version set"


def test_a_crash_says_how_the_process_ended(tmp_path: Path) -> None:
    _, table = written(tmp_path, {"x.json": version_set("x", "2026-11-28", CRASHED)})
    (cell,) = table.rows[0].cells
    assert (cell.text, cell.tone, cell.why) == (
        "RED: crashed (signal 6)",
        "red",
        "signal 6 (SIGABRT)",
    )
    unknown = {**CRASHED, "why": "nobody knows how"}
    _, table = written(tmp_path, {"x.json": version_set("x", "2026-11-28", unknown)})
    assert table.rows[0].cells[0].text == "RED: crashed"


def test_a_verdict_on_some_of_the_symptoms_is_called_partial(tmp_path: Path) -> None:
    built, table = written(tmp_path, {"x.json": version_set("x", "2026-11-28", IN_PART, BROKEN)})
    assert [row.cells[0].text for row in table.rows] == ["broken (partial)", "broken"]
    assert "- partial: not tested: slow: not in this selection\n" in markdown.render(built)


def test_bugs_that_hit_a_set_and_were_left_out_as_slow_are_counted_apart(tmp_path: Path) -> None:
    elsewhere = {**FINE, "id": "lib-mac", "verdict": "not tested", "why": "needs a Mac"}
    elsewhere["tests"] = [{**FINE["tests"][0], "outcome": "skipped", "evidence": "needs a Mac"}]
    files = {"x.json": version_set("x", "2026-11-28", UNTESTED_SLOW, elsewhere, FINE)}
    built, table = written(tmp_path, files)
    assert [row.cells[0].text for row in table.rows] == [
        "not tested (slow)",
        "not tested: needs a Mac",
        "fine",
    ]
    counted = "0 RED, 1 fine, 1 not tested, 1 not tested (slow)."
    assert built.summary_line == f"1 version set, 3 known bugs: {counted}"
    assert "1 not tested, 1 not tested (slow)" in built.headline[1]


def test_failed_tests_without_a_known_bug_are_red_and_counted(tmp_path: Path) -> None:
    failures = [
        {"test": "compat/a.py::one", "outcome": "failed", "evidence": "E   oh\n"},
        {"test": "compat/a.py::two", "outcome": "crashed", "evidence": "signal 9 (SIGKILL)"},
        {"test": "compat/a.py::three", "outcome": "failed", "evidence": ""},
    ]
    files = {
        "x.json": version_set("x", "2026-11-28", FINE),
        "y.json": version_set("y", "2026-11-28", FINE, other_failures=failures),
    }
    built, table = written(tmp_path, files)
    row = table.rows[-1]
    assert (row.id, row.known, table.bugs) == ("tests without a known bug", False, 1)
    assert [(cell.text, cell.tone) for cell in row.cells] == [
        ("\N{EN DASH}", "clear"),
        ("RED: 2 failed, 1 crashed", "red"),
    ]
    assert row.cells[1].why == "compat/a.py::one, compat/a.py::two, compat/a.py::three"
    assert [run.text for run in row.cells[1].evidence] == ["E   oh", "signal 9 (SIGKILL)", ""]
    assert built.summary_line == (
        "2 version sets, 1 known bug: 1 RED (with 3 failed tests without a known bug), 2 fine."
    )
    assert built.headline[1].startswith(
        "Compatibility: 1 of 3 tested cells RED: tests without a known bug with y "
    )


def test_without_such_a_failure_there_is_no_row_for_them(tmp_path: Path) -> None:
    _, table = written(tmp_path, {"x.json": version_set("x", "2026-11-28", FINE)})
    assert [row.id for row in table.rows] == ["lib-fine"]


def test_no_row_with_a_failure_is_0_red(tmp_path: Path) -> None:
    built, table = written(tmp_path, documents())
    assert built.summary_line.startswith(
        "11 version sets, 5 known bugs: 2 RED (with 2 failed tests without a known bug), "
    )
    red = {
        column.id
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.tone == "red"
    }
    assert red == {"g-crashed", "h-newest"}
