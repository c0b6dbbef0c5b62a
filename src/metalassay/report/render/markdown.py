"""Report -> Markdown. Every string that came from a file is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from metalassay.environment import extras
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
)
from metalassay.report.render import plot_tables

_LONGEST_CELL = 40
_URL = ":/?#@!$&'*+,;=%~"  # needs no quoting; a space or a parenthesis would end the link


def escape(text: str) -> str:
    """Escape ``text`` so that Markdown shows it literally, on one line, in a table or outside."""
    line = one_line(text)
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;")
    line = re.sub(r"([\\`*\[\]|~$])", r"\\\1", line)
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)  # between letters it is not markup
    line = re.sub(r"^([-+=#>])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line)


def compat_table(report: Report) -> str:
    """Return the compatibility table: below the name of each set its versions, then a word per bug."""
    compat = report.compat
    if isinstance(compat, Hint):
        return hint(compat)
    return f"{escape(compat.caption)}\n\n{compat_pipe(compat, range(len(compat.columns)))}"


def benchmark_table(report: Report) -> str:
    """Return the benchmark tables, one per machine, each below the name of its machine."""
    if isinstance(report.benchmarks, Hint):
        return hint(report.benchmarks)
    return "\n\n".join(
        f"{escape(table.caption)}\n\n{table_text(table)}" for table in report.benchmarks
    )


def render(report: Report) -> str:
    """Return the whole report as one Markdown page."""
    return "\n\n".join(_page(report)).rstrip() + "\n"


def _page(report: Report) -> Iterator[str]:
    yield "# What works here, and how fast"
    if report.rehearsal:
        yield f"> **{escape(report.rehearsal)}**"
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
    if report.key_figures:
        yield f"## {escape(report.key_figures.caption)}"
        yield from _with_notes(report.key_figures)
    if isinstance(report.comparison, Hint):
        yield "## Comparison of machines"
        yield hint(report.comparison)
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
        yield hint(section.hint)


def _with_notes(table: Table) -> Iterator[str]:
    yield table_text(table)
    notes = [*table.notes, *(["Bold: values that differ and should not."] if table.marked else [])]
    if notes:
        yield _list(notes)


def compat_pipe(compat: CompatTable, columns: Sequence[int]) -> str:
    """Return some ``columns`` of the compatibility table."""
    head, rows = compat_cells(compat, columns)
    return _pipe(head, rows, ["left"] * len(head))


def compat_cells(compat: CompatTable, columns: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of some ``columns`` of the compatibility table, not yet escaped."""
    rows = [
        [name, *(compat.columns[column].facts[index] for column in columns)]
        for index, name in enumerate(compat.fact_names)
    ]
    rows += [
        [row.id, *(_short(row.cells[column].text) for column in columns)] for row in compat.rows
    ]
    if any(compat.columns[column].mark for column in columns):
        rows.insert(0, ["run", *(compat.columns[column].mark or NO_VALUE for column in columns)])
    return ["", *(compat.columns[column].id for column in columns)], rows


def table_text(table: Table) -> str:
    """Return a table; a cell with a command shows it."""
    align = ["right" if n else "left" for n in table.numeric]
    return _pipe(table.head, table.rows, align, table.marked, table.commands)


def _pipe(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: Sequence[str],
    bold: frozenset[tuple[int, int]] = frozenset(),
    commands: Mapping[tuple[int, int], str] | None = None,
) -> str:
    try:
        from tabulate import tabulate
    except ImportError:
        raise extras.missing_extra("the report", "report", "tabulate") from None

    def shown(cell: str, place: tuple[int, int]) -> str:
        text = f"**{escape(cell)}**" if place in bold and cell.strip() else escape(cell)
        command = (commands or {}).get(place)
        if not command:
            return text
        # A pipe ends a cell even within a code span.
        code = _code(command).replace("|", r"\|")
        return f"{text}: {code}"

    return tabulate(
        [
            [shown(cell, (number, column)) for column, cell in enumerate(row)]
            for number, row in enumerate(rows)
        ],
        headers=[escape(cell) for cell in head],
        tablefmt="pipe",  # "github" drops the alignment
        colalign=align,
        disable_numparse=True,
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def hint(part: Hint) -> str:
    """Return why a part is empty, and the command that fills it."""
    return f"{escape(part.sentence)} Next: run {_code(part.command)}"


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
