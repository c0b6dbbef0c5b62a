"""Report -> Markdown, and its tables for a terminal. Every string that came from a file is escaped."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.report.model import (
    NO_VALUE,
    BugRow,
    Cell,
    Column,
    CompatTable,
    Evidence,
    Hint,
    Report,
    Section,
    Table,
    not_shown,
)
from metalassay.report.render import plot_tables

_LONGEST_CELL = 40
_MOST_ALERTS = 20  # in a terminal
_CONDITIONS = frozenset({"batch", "dtype", "device", "threads", "torch", "rounds"})
_URL = ":/?#@!$&'*+,;=%~"  # needs no quoting; a space or a parenthesis would end the link


def escape(text: str) -> str:
    """Escape ``text`` so that Markdown shows it literally, on one line, in a table or outside."""
    line = one_line(text)
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;")
    line = re.sub(r"([\\`*\[\]|~$])", r"\\\1", line)
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)  # between letters it is not markup
    line = re.sub(r"^([-+=#>])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line)


def compat_table(report: Report, width: int | None = None) -> str:
    """Return the compatibility table: below the name of each set its versions, then a word per bug.

    With a ``width`` in characters, sets that do not fit go into further tables below the first.
    """
    compat = report.compat
    if isinstance(compat, Hint):
        return _hint(compat)
    everything = range(len(compat.columns))
    tables = [_compat_pipe(compat, everything)] if width is None else _fitting(compat, width)
    return "\n\n".join([escape(compat.caption), *tables])


def benchmark_table(report: Report) -> str:
    """Return the benchmark tables, one per machine, each below the name of its machine."""
    if isinstance(report.benchmarks, Hint):
        return _hint(report.benchmarks)
    return "\n\n".join(f"{escape(table.caption)}\n\n{_table(table)}" for table in report.benchmarks)


def terminal_text(report: Report, width: int | None = None) -> str:
    """Return the text to print at the end of a run: the tables, alerts, and the summary as the last line.

    ``width`` defaults to that of the terminal. A column of conditions that has the same value in
    every row moves into the caption.
    """
    if isinstance(report.benchmarks, tuple):
        report = replace(report, benchmarks=tuple(map(_condensed, report.benchmarks)))
    width = width or shutil.get_terminal_size((100, 24)).columns
    parts = [compat_table(report, width)]
    if isinstance(report.compat, CompatTable) and report.compat.alerts:
        parts.append("\n".join(_alerts(report.compat.alerts, width)))
    parts.append(benchmark_table(report))
    if isinstance(report.comparison, Table):
        parts.append(f"{escape(report.comparison.caption)}\n\n{_table(report.comparison)}")
    return "\n\n".join([*parts, report.summary_line])


def render(report: Report) -> str:
    """Return the whole report as one Markdown page."""
    return "\n\n".join(_page(report)).rstrip() + "\n"


def _page(report: Report) -> Iterator[str]:
    yield "# What works here, and how fast"
    yield from (f"**{escape(sentence)}**" for sentence in report.headline if sentence.strip())
    yield escape(report.summary_line)
    yield "## Compatibility"
    yield compat_table(report)
    if isinstance(report.compat, CompatTable):
        yield from _compat_details(report.compat)
    yield "## Benchmarks"
    if isinstance(report.benchmarks, Hint):
        yield benchmark_table(report)
    else:
        for table in report.benchmarks:
            yield f"### {escape(table.caption)}"
            yield from _with_notes(table)
    if isinstance(report.comparison, Hint):
        yield "## Comparison of machines"
        yield _hint(report.comparison)
    else:
        yield f"## {escape(report.comparison.caption)}"
        yield from _with_notes(report.comparison)
    for section in report.sections:
        yield from _section(section)
    if report.conditions:
        yield "## Conditions"
        yield from _with_notes(report.conditions)
    if report.warnings:
        yield "## Warnings"
        yield _list(report.warnings)
    yield "## Method and commands"
    yield _list(report.method)
    yield "\n".join(f"- {_code(command)}: {escape(what)}" for command, what in report.commands)


def _compat_details(compat: CompatTable) -> Iterator[str]:
    yield "### How to read this table"
    yield _list(compat.how_to_read)
    cells = [cell for row in compat.rows for cell in row.cells]
    cut = {cell.why: None for cell in cells if _short(cell.text) != cell.text}
    partial = {cell.why: None for cell in cells if cell.tone in ("broken", "patched") and cell.why}
    if compat.alerts or compat.notes or cut or partial:
        yield "### Notes on the table"
        yield _list(
            [
                *compat.alerts,
                *compat.notes,
                *(f"not tested: {why}" for why in cut),
                *(f"partial: {why.removeprefix('in part; ')}" for why in partial),
            ]
        )
    for row in compat.rows:
        for column, cell in zip(compat.columns, row.cells, strict=True):
            if cell.tone == "red":
                yield from _red(row, column, cell)
    yield "### The bugs"
    yield "\n".join(_bug(row) for row in compat.rows if row.known) or "None was tested."
    yield "### The version sets"
    yield "\n".join(map(_version_set, compat.columns))


def _red(row: BugRow, column: Column, cell: Cell) -> Iterator[str]:
    yield f"### {escape(cell.text)}: {escape(row.id)} with {escape(column.id)}"
    why = f" Reason: {escape(cell.why)}." if cell.why else ""
    yield (
        f"{escape(cell.meaning)}{why} Versions: {escape(column.versions)}. "
        f"Recorded: {escape(column.recorded)}. Command: {_code(column.command)}"
    )
    for run in cell.evidence:
        yield f"{_code(run.test)}: {run.upstream}, {_ending(run)}"
        if run.text:
            fence = "`" * max(3, _longest_run(run.text) + 1)
            yield f"{fence}text\n{run.text}\n{fence}"


def _ending(run: Evidence) -> str:
    seconds = f" in {run.seconds}" if run.seconds else ""
    symptom = f", symptom {escape(run.symptom)}" if run.symptom else ""
    return f"{run.outcome}{seconds}{symptom}"


def _version_set(column: Column) -> str:
    facts = (
        ("", "; ".join(dict.fromkeys(filter(None, (column.state, column.mark))))),
        ("recorded", column.recorded),
        ("left out", column.selection),
        ("versions", column.versions),
        ("lock", column.lock),
        ("file", column.file),
    )
    about = "; ".join(f"{name} {value}".strip() for name, value in facts if value)
    command = f"; command {_code(column.command)}" if column.command else ""
    return f"- {escape(column.id)}: {escape(about)}{command}"


def _alerts(lines: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of a list for a terminal; a command has a line of its own, which is not wrapped."""
    for line in lines[:_MOST_ALERTS]:
        text, _, command = line.rpartition("; next: ")
        yield textwrap.fill(
            text or line,
            width,
            initial_indent="- ",
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        if text:
            yield f"  next: {command}"
    if len(lines) > _MOST_ALERTS:
        yield f"- {not_shown(len(lines) - _MOST_ALERTS, 'further row')}"


def _bug(row: BugRow) -> str:
    name = escape(row.id)
    if row.link:
        name = f"[{name}]({quote(row.link, safe=_URL)})"
    where = f" (affected: {escape(row.where)})" if row.where else ""
    return "\n".join(
        [f"- {name}: {escape(row.title)}{where}", *(f"  - {escape(fix)}" for fix in row.fixes)]
    )


def _section(section: Section) -> Iterator[str]:
    projected = " (projected, not measured)" if section.projected else ""
    yield f"## {escape(section.title)}{projected}"
    yield from map(escape, section.sentences)
    for table in (*map(plot_tables.data_table, section.plots), *section.tables):
        if table.caption:
            yield f"### {escape(table.caption)}{projected}"
        yield from _with_notes(table)
    if section.hint:
        yield _hint(section.hint)


def _with_notes(table: Table) -> Iterator[str]:
    yield _table(table)
    notes = [*table.notes, *(["Bold: values that differ and should not."] if table.marked else [])]
    if notes:
        yield _list(notes)


def _fitting(compat: CompatTable, width: int) -> Iterator[str]:
    """Yield tables of as many columns as fit; a column that is too wide gets a table of its own."""
    columns: list[int] = []
    text = ""
    for column in range(len(compat.columns)):
        wider = _compat_pipe(compat, [*columns, column])
        if columns and wider.index("\n") > width:
            yield text
            columns, wider = [], _compat_pipe(compat, [column])
        columns, text = [*columns, column], wider
    yield text


def _compat_pipe(compat: CompatTable, columns: Sequence[int]) -> str:
    rows = [
        [name, *(compat.columns[column].facts[index] for column in columns)]
        for index, name in enumerate(compat.fact_names)
    ]
    rows += [
        [row.id, *(_short(row.cells[column].text) for column in columns)] for row in compat.rows
    ]
    if any(compat.columns[column].mark for column in columns):
        rows.insert(0, ["run", *(compat.columns[column].mark or NO_VALUE for column in columns)])
    head = ["", *(compat.columns[column].id for column in columns)]
    return _pipe(head, rows, ["left"] * len(head))


def _condensed(table: Table) -> Table:
    constant = [
        index
        for index, name in enumerate(table.head)
        if name in _CONDITIONS and len({row[index] for row in table.rows}) == 1
    ]
    kept = [index for index in range(len(table.head)) if index not in constant]
    values = ", ".join(f"{table.head[index]} {table.rows[0][index]}" for index in constant)
    return replace(
        table,
        caption=f"{table.caption}: {values}" if values else table.caption,
        head=tuple(table.head[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
        numeric=tuple(table.numeric[index] for index in kept),
    )


def _table(table: Table) -> str:
    align = ["right" if n else "left" for n in table.numeric]
    return _pipe(table.head, table.rows, align, table.marked)


def _pipe(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: Sequence[str],
    bold: frozenset[tuple[int, int]] = frozenset(),
) -> str:
    try:
        from tabulate import tabulate
    except ImportError:
        raise UserError("the report needs tabulate", "pip install 'metalassay[report]'") from None
    return tabulate(
        [
            [
                f"**{escape(cell)}**" if (number, column) in bold and cell.strip() else escape(cell)
                for column, cell in enumerate(row)
            ]
            for number, row in enumerate(rows)
        ],
        headers=[escape(cell) for cell in head],
        tablefmt="pipe",  # "github" drops the alignment
        colalign=align,
        disable_numparse=True,
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _hint(hint: Hint) -> str:
    return f"{escape(hint.sentence)} Next: run {_code(hint.command)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL].rstrip()}…"


def _code(text: str) -> str:
    """Return a code span, its fence longer than any run of backticks inside."""
    line = one_line(text)
    if not line:
        return "(none)"
    fence = "`" * (_longest_run(line) + 1)
    edge = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{edge}{line}{edge}{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
