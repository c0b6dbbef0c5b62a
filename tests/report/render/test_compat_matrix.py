"""The compatibility table as the page shows it: nothing shown twice, nothing lost."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import constructed_origin
import constructed_report
import pytest

from metalassay.report.model import NO_VALUE, BugRow, Cell, CompatTable, Evidence, Report
from metalassay.report.render import compat_matrix, html


def page(report: Report) -> str:
    return html.render(report)


def prose(markup: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup)))


def opened(markup: str, anchor: str) -> str:
    """Return the text of the cell with this id."""
    return prose(markup.partition(f'id="{anchor}"')[2].partition("</td>")[0])


def with_cell(row: int, column: int, cell: Cell, *, sets: int, bugs: int) -> CompatTable:
    table: CompatTable = constructed_report.compat(sets=sets, bugs=bugs)
    cells = list(table.rows[row].cells)
    cells[column] = cell
    rows = list(table.rows)
    rows[row] = replace(rows[row], cells=tuple(cells))
    return replace(table, rows=tuple(rows))


@pytest.mark.slow
def test_seventy_sets_and_seventy_five_bugs_stay_below_two_megabytes() -> None:
    report = constructed_report.everything(sets=70, bugs=75)
    assert len(page(report).encode()) < 2_000_000


def test_up_to_a_dozen_sets_share_one_table_with_every_row() -> None:
    (group,) = compat_matrix.lay_out(constructed_report.compat(sets=12, bugs=12)).groups
    assert group.columns == tuple(range(12))
    assert group.rows == tuple(range(12))
    assert group.left_out == ""


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("edge-transformers-4.56.0", "edge-transformers"),
        ("accelerate-1.8.0", "accelerate"),
        ("newest", "newest"),
        ("1.8.0", "1.8.0"),
    ],
)
def test_a_family_is_the_name_before_the_version(name: str, family: str) -> None:
    assert compat_matrix.family(name) == family


def test_the_first_table_and_those_with_a_red_cell_are_unfolded_and_all_count_their_cells() -> None:
    red = Cell("RED: unexplained", "red", "Nobody knows.")
    groups = compat_matrix.lay_out(with_cell(2, 6, red, sets=40, bugs=12)).groups
    assert [group.name for group in groups if group.unfolded] == ["accelerate", "edge-transformers"]
    assert groups[0].counts.startswith("10 sets: 2 RED, ")
    assert groups[2].counts.startswith("10 sets: 1 RED, ")
    assert re.search(r"\d+ not tested$", groups[2].counts)
    markup = page(constructed_report.everything(sets=40))
    assert markup.count('<details class="group" open>') == 1
    assert markup.count('<details class="group">') == 3


@pytest.mark.parametrize("sets", [13, 40, 70])
def test_every_set_is_in_one_table_and_none_is_wider_than_paper(sets: int) -> None:
    groups = compat_matrix.lay_out(constructed_report.compat(sets=sets, bugs=5)).groups
    assert sorted(column for group in groups for column in group.columns) == list(range(sets))
    assert max(len(group.columns) for group in groups) <= 12
    assert len(groups) < sets / 3


def test_sets_with_unrelated_names_share_the_last_table() -> None:
    table = constructed_report.compat(sets=20, bugs=5)
    columns = [
        replace(c, id="guide" if i == 2 else "solo" if i == 7 else c.id)
        for i, c in enumerate(table.columns)
    ]
    groups = compat_matrix.lay_out(replace(table, columns=tuple(columns))).groups
    assert (groups[-1].name, groups[-1].columns) == ("other sets", (2, 7))


def test_a_bug_has_a_row_in_every_table_with_a_result() -> None:
    table = constructed_report.compat(sets=40, bugs=30)
    silent = 0
    for group in compat_matrix.lay_out(table).groups:
        for index, row in enumerate(table.rows):
            cells = [row.cells[column] for column in group.columns]
            tested = any(cell.evidence or cell.tone == "red" for cell in cells)
            assert not tested or index in group.rows
        left_out = len(table.rows) - len(group.rows)
        silent += left_out
        if left_out:
            assert group.left_out.startswith(f"{left_out} bug")
            assert re.search(
                r"none of these sets tested (it|them) \(not in this run\)\.$", group.left_out
            )
    assert silent


def test_a_fact_that_all_columns_share_is_shown_once() -> None:
    table = constructed_report.compat(sets=5, bugs=1)
    (group,) = compat_matrix.lay_out(table).groups
    assert group.same == ("torch 2.13.0", "platform Linux x86_64")
    assert [table.fact_names[fact] for fact in group.facts] == ["accelerate"]
    markup = page(replace(constructed_report.everything(sets=5, bugs=1), compat=table))
    assert "The same in all of these sets: torch 2.13.0, platform Linux x86_64." in markup


def test_an_output_shared_by_many_cells_is_on_the_page_once() -> None:
    report = constructed_report.everything(sets=70, bugs=12)
    assert isinstance(report.compat, CompatTable)
    markup = page(report)
    printed = {
        each.text
        for row in report.compat.rows
        for cell in row.cells
        for each in cell.evidence
        if each.text
    }
    assert len(printed) > 30
    for text in printed:
        assert unescape(markup).count(f">{text}</pre>") == 1


@pytest.mark.parametrize("sets", [8, 40])
def test_a_red_cell_has_all_that_is_known(sets: int) -> None:
    report = constructed_report.everything(sets=sets)
    assert isinstance(report.compat, CompatTable)
    row, column = report.compat.rows[0], report.compat.columns[0]
    cell = row.cells[0]
    assert cell.tone == "red"
    shown = opened(page(report), "r0-0")
    for part in (cell.meaning, cell.why, row.where, column.versions, column.command, column.file):
        assert part in shown
    for each in cell.evidence:
        assert each.test in shown
        assert " ".join(each.text.split()) in shown


def test_an_output_of_two_red_cells_is_in_the_first_and_a_link_in_the_second() -> None:
    text = "E   the very same failure, and a long one\n" * 5
    run = Evidence("compat/test_a.py::test_b", "stock", "failed", "0.1 s", "", text)
    red = Cell("RED: unexplained", "red", "Nobody knows.", "", (run,))
    table = with_cell(2, 1, red, sets=8, bugs=6)
    rows = list(table.rows)
    rows[3] = replace(rows[3], cells=(red, *rows[3].cells[1:]))
    markup = page(replace(constructed_report.everything(), compat=replace(table, rows=tuple(rows))))
    assert "the very same failure" in opened(markup, "r2-1")
    assert "the very same failure" not in opened(markup, "r3-0")
    assert "see output" in opened(markup, "r3-0")


def test_red_cells_are_listed_first_with_links_to_them() -> None:
    markup = page(constructed_report.everything(sets=40))
    listed = markup.partition('class="reds"')[2].partition("</div>")[0]
    targets = re.findall(r'href="#([^"]+)"', listed)
    assert targets == ["r0-0", "r1-4"]
    for target in targets:
        assert f'<td class="red" id="{target}">' in markup


@pytest.mark.parametrize("sets", [5, 40])
def test_every_link_within_the_page_has_one_target(sets: int) -> None:
    markup = page(constructed_report.everything(sets=sets))
    ids = re.findall(r' id="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', markup))
    assert targets <= set(ids)
    assert len(targets) > 20


def test_a_set_that_cannot_be_installed_is_one_cell_over_all_rows() -> None:
    markup = page(constructed_report.everything(sets=6, bugs=5))
    assert markup.count('rowspan="5"') == 1
    assert "A conflict." in markup.partition('rowspan="5"')[2].partition("</td>")[0]


def test_outputs_that_do_not_fit_are_counted_but_never_those_of_a_red_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compat_matrix, "_MOST_TEXT", 3000)
    report = constructed_report.everything(sets=40)
    assert isinstance(report.compat, CompatTable)
    laid_out = compat_matrix.lay_out(report.compat)
    assert laid_out.omitted > 5
    markup = page(report)
    assert (
        f"{laid_out.omitted} outputs of tests that are not red can be found in the verdict files only."
        in markup
    )
    for row, column in laid_out.reds:
        for each in report.compat.rows[row].cells[column].evidence:
            assert not each.text or each.text in unescape(markup)


def test_the_head_of_a_column_says_that_it_is_not_the_whole_and_latest_run(tmp_path: Path) -> None:
    built, _ = constructed_origin.written(tmp_path, constructed_origin.documents())
    head = page(built).partition("<thead>")[2].partition("</thead>")[0]
    assert re.findall('<small class="mark">(.+?)</small>', head) == [
        *("last run did not finish", "not finished", "partial run beside it", "partial: -k"),
    ]


def test_the_page_lists_alerts_first_with_their_commands(tmp_path: Path) -> None:
    built, table = constructed_origin.written(tmp_path, constructed_origin.documents())
    markup = page(built)
    listed = markup.partition('<div class="alerts">')[2].partition("</div>")[0]
    assert listed.count("<li>") == len(table.alerts) == 5
    assert unescape(listed).count('<code>nox -s "compat(') == 4
    assert "run them again to compare</li>" in listed
    assert markup.index('class="alerts"') < markup.index("<thead>")


def test_failed_tests_without_a_known_bug_name_themselves_in_their_cell(tmp_path: Path) -> None:
    built, table = constructed_origin.written(tmp_path, constructed_origin.documents())
    at = [column.id for column in table.columns].index("h-newest")
    shown = opened(page(built), f"r{len(table.rows) - 1}-{at}")
    assert "stock: failed E AssertionError: the sentence is gone" in shown
    assert "test_another stock: crashed signal 11 (SIGSEGV)" in shown


def test_a_group_without_such_a_failure_leaves_the_row_out_and_calls_it_no_bug() -> None:
    clear = Cell(NO_VALUE, "clear", "No test without a known bug failed.")
    table = constructed_report.compat(sets=40, bugs=12)
    red = Cell("RED: 1 failed", "red", "It failed.")
    row = BugRow("tests without a known bug", "", "", "", (), (red, *[clear] * 39), known=False)
    before = compat_matrix.lay_out(table).groups
    after = compat_matrix.lay_out(replace(table, rows=(*table.rows, row))).groups
    assert after[0].rows == (*before[0].rows, 12)
    assert [group.rows for group in after[1:]] == [group.rows for group in before[1:]]
    assert [group.left_out for group in after] == [group.left_out for group in before]
