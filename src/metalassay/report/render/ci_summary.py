"""Report -> the summary page of a CI job in GitHub's Markdown: red cells first, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from metalassay.report.model import (
    NO_VALUE,
    SLOW,
    BugRow,
    Cell,
    Column,
    CompatTable,
    Hint,
    Report,
    counted,
)
from metalassay.report.render.markdown import benchmark_table, escape

LIMIT = 2**20
"""The most bytes that GitHub accepts for the summary of a step; it shows nothing of a larger one.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

_CUT = (
    "\n\n**Cut here:** GitHub shows 1 MiB of a summary. The full report is in report.md and "
    "report.html.\n"
)
_MOST_WARNINGS = 20
_MOST_EVIDENCE = 300  # characters of the line with the error


def render(report: Report, room: int = LIMIT) -> str:
    """Return the summary in at most ``room`` bytes of UTF-8; if it was cut, it says so."""
    text = "\n\n".join(_parts(report)) + "\n"
    if len(text.encode()) <= room:
        return text
    kept, left = [], room - len(_CUT.encode())
    for line in text.splitlines(keepends=True):
        left -= len(line.encode())
        if left < 0:
            break
        kept.append(line)
    return "".join(kept).rstrip() + _CUT if room >= len(_CUT.encode()) else ""


def _parts(report: Report) -> Iterator[str]:
    yield "## What works here, and how fast"
    if report.rehearsal:
        yield f"> **{escape(report.rehearsal)}**"
    yield "\n".join(escape(line) for line in report.headline or (report.summary_line,))
    compat = report.compat
    yield "### Compatibility"
    if isinstance(compat, Hint):
        yield f"{escape(compat.sentence)} Next: run {escape(compat.command)}"
    else:
        reds = [
            _red(row, column, cell)
            for row in compat.rows
            for column, cell in zip(compat.columns, row.cells, strict=True)
            if cell.tone == "red"
        ]
        if reds:
            yield "**Red: the result differs from what our data predicts.**"
            yield "\n".join(reds)
        if compat.alerts:
            yield "**Incomplete or not comparable:**"
            yield "\n".join(f"- {escape(alert)}" for alert in compat.alerts)
        yield _counts(compat)
        yield _sets(compat)
    yield "### Benchmarks"
    yield benchmark_table(report)
    if report.warnings:
        yield f"### Warnings: {len(report.warnings)}"
        yield "\n".join(f"- {escape(line)}" for line in report.warnings[:_MOST_WARNINGS])
        if len(report.warnings) > _MOST_WARNINGS:
            yield f"And {len(report.warnings) - _MOST_WARNINGS} more, listed in the log."


def _red(row: BugRow, column: Column, cell: Cell) -> str:
    """Return a red cell as a list item: the reason, where it is, and how to reproduce it."""
    reason = cell.why or cell.meaning
    evidence = next(
        (
            line.strip()
            for run in cell.evidence
            if run.outcome in ("failed", "xpassed", "crashed")
            for line in reversed(run.text.splitlines())
            if line.strip()
        ),
        "",
    )
    if len(evidence) > _MOST_EVIDENCE:
        evidence = f"{evidence[:_MOST_EVIDENCE]}\N{HORIZONTAL ELLIPSIS}"
    error = f" Error: {escape(evidence)}" if evidence else ""
    return (
        f"- **{escape(cell.text)}**: {escape(reason)}{error}\n"
        f"  - {escape(row.id)} ({escape(row.title)}) with {escape(column.id)}: "
        f"{escape(column.versions)}; recorded {escape(column.recorded)}\n"
        f"  - reproduce: {escape(column.command)}"
    )


def _counts(compat: CompatTable) -> str:
    words = Counter(
        "not tested" if cell.tone == "untested" and cell.text != SLOW else cell.text
        for row in compat.rows
        for cell in row.cells
        if cell.tone != "clear"
    )
    lines = [
        f"{escape(compat.caption)}: {counted(compat.bugs, 'bug')}, "
        f"{counted(len(compat.columns), 'version set')}.",
        "",
        "| verdict | cells |",
        "|:--|--:|",
        *(f"| {escape(word)} | {number} |" for word, number in sorted(words.items())),
    ]
    return "\n".join(lines)


def _sets(compat: CompatTable) -> str:
    """Return one row per version set: its versions, when and with what it was recorded, its red cells."""
    head = ["version set", *compat.fact_names, "run", "RED"]
    rows = [head, [":--"] * (len(head) - 1) + ["--:"]]
    for at, column in enumerate(compat.columns):
        red = sum(row.cells[at].tone == "red" for row in compat.rows)
        run = column.state or column.mark or NO_VALUE
        rows.append([column.id, *column.facts, run, NO_VALUE if column.state else str(red)])
    return "\n".join(
        f"| {' | '.join(row if number == 1 else map(escape, row))} |"
        for number, row in enumerate(rows)
    )
