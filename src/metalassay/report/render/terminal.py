"""Report -> text for a terminal, in which no line is wider than asked for: tables that wrap, then lists.

A table that fits is printed as on the Markdown page. One that does not is printed with cells of several
lines, or else as a list: a line per row, and one below it per column.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from metalassay.fields import one_line
from metalassay.report.model import (
    NO_VALUE,
    NOT_MEASURED,
    CompatTable,
    Hint,
    Report,
    Section,
    Table,
    not_shown,
)
from metalassay.report.render import markdown

NARROWEST = 40
"""Characters; a narrower terminal wraps the lines itself."""
_MOST_LINES = 3  # of a cell; a table with higher ones is hard to read
_MOST_ALERTS = 20
_MOST_ROWS = 40  # of a table of another project's benchmarks; the pages have more
_CONDITIONS = frozenset({"batch", "dtype", "device", "threads", "torch", "rounds"})
_CONTINUED = " \\"  # at the end of a line of a command, for the shell


def text(report: Report, width: int | None = None) -> str:
    """Return what to print at the end of a run: the tables, alerts, and the summary as the last line.

    ``width`` defaults to that of the terminal. A column of conditions that has the same value in
    every row moves into the caption. Commands are never hyphenated: a long one goes on with a backslash.
    """
    width = max(NARROWEST, width or shutil.get_terminal_size((100, 24)).columns)
    return "\n\n".join(filter(None, _parts(report, width)))


def _parts(report: Report, width: int) -> Iterator[str]:
    if report.rehearsal:
        yield filled(report.rehearsal, width)
    printed = [section for section in report.sections if section.printed]
    # Who measures another project's benchmarks need not be told how to run ours.
    if not (printed and isinstance(report.compat, Hint)):
        yield from _compat(report.compat, width)
    if isinstance(report.benchmarks, Hint):
        if not printed:
            yield _hint(report.benchmarks, width)
    else:
        for table in map(_condensed, report.benchmarks):
            yield from _captioned(table, width)
    if isinstance(report.comparison, Table):
        yield from _captioned(_measured(report.comparison), width)
    if report.key_figures:  # last, where it is seen without scrolling
        yield from _captioned(report.key_figures, width)
        yield "\n".join(filled(note, width, "  ", "- ") for note in report.key_figures.notes)
    for section in printed:
        yield from _section(section, width)
    yield filled(report.summary_line, width)


def _section(section: Section, width: int) -> Iterator[str]:
    yield filled(section.title, width)
    for table in section.tables:
        more = len(table.rows) - _MOST_ROWS
        yield filled(table.caption, width)
        # Not as on the Markdown page: names of parametrised tests have brackets, which are escaped there.
        yield _narrowed(table.head, table.rows[:_MOST_ROWS], width)
        notes = [*([not_shown(more, "further row")] if more > 0 else []), *table.notes]
        yield "\n".join(filled(note, width, "  ", "- ") for note in notes)


def compat_table(compat: CompatTable, width: int) -> str:
    """Return the compatibility table; sets that do not fit go into further tables below the first."""
    return "\n\n".join([filled(compat.caption, width), *filter(None, _fitting(compat, width))])


def _compat(compat: CompatTable | Hint, width: int) -> Iterator[str]:
    if isinstance(compat, Hint):
        yield _hint(compat, width)
        return
    yield compat_table(compat, width)
    if compat.alerts:
        yield "\n".join(_alerts(compat.alerts, width))


def _fitting(compat: CompatTable, width: int) -> Iterator[str]:
    """Yield tables of as many columns as fit; a column that is too wide gets a table of its own."""
    columns: list[int] = []
    fitting = ""
    for column in range(len(compat.columns)):
        wider = markdown.compat_pipe(compat, [*columns, column])
        if columns and _widest(wider) > width:
            yield fitting
            columns, wider = [], markdown.compat_pipe(compat, [column])
        columns, fitting = [*columns, column], wider
        if _widest(fitting) > width:
            yield _narrowed(*markdown.compat_cells(compat, columns), width)
            columns, fitting = [], ""
    yield fitting


def _captioned(table: Table, width: int) -> Iterator[str]:
    yield filled(table.caption, width)
    yield fitted(table, width)


def fitted(table: Table, width: int) -> str:
    """Return a table in at most ``width`` columns, the commands of its cells in a list below it."""
    where: dict[str, dict[str, None]] = {}  # the heads of the columns in which a command is missing
    rows = [list(row) for row in table.rows]
    for (row, column), command in table.commands.items():
        where.setdefault(command, {})[table.head[column]] = None
        rows[row][column] += f" ({list(where).index(command) + 1})"
    numbered = replace(table, rows=tuple(map(tuple, rows)), commands={})
    pipe = markdown.table_text(numbered)
    if _widest(pipe) > width:
        pipe = _narrowed(table.head, rows, width)
    lines = [
        line
        for number, (command, heads) in enumerate(where.items(), 1)
        for line in (
            filled(f"({number}) {NOT_MEASURED} on {' and '.join(heads)}:", width, "    "),
            *_command(command, width, "    "),
        )
    ]
    return "\n".join([pipe, *(["", *lines] if lines else [])])


def _narrowed(head: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> str:
    """Return a table that is too wide: with cells of several lines, or as a list if those would be high."""
    cells = [[one_line(cell) for cell in row] for row in (head, *rows)]
    return _wrapped(cells, width) or _stacked(cells, width)


def _wrapped(cells: Sequence[Sequence[str]], width: int) -> str:
    """Return a table whose cells wrap between words; "" if a word is too wide or a cell too high."""
    columns = list(zip(*cells, strict=True))
    # The frame of a column is "| " before it and " " behind it, and one bar ends the line.
    room = width - 3 * len(columns) - 1
    widths = [max(map(_longest_word, column)) for column in columns]
    if sum(widths) > room:
        return ""

    def height(column: int, wide: int) -> int:
        return max(len(_lines(cell, wide)) for cell in columns[column])

    # The highest column gets the next character, as long as that may help.
    while sum(widths) < room:
        open_ = [
            column for column, texts in enumerate(columns) if widths[column] < max(map(len, texts))
        ]
        if not open_:
            break
        widths[
            max(open_, key=lambda column: (height(column, widths[column]), -widths[column]))
        ] += 1
    high = [[_lines(cell, wide) for cell, wide in zip(row, widths, strict=True)] for row in cells]
    if max(len(lines) for row in high for lines in row) > _MOST_LINES:
        return ""
    rule = f"|{'|'.join('-' * (wide + 2) for wide in widths)}|"
    blocks = ["\n".join(_row(row, widths)) for row in high]
    # Where cells have several lines, a rule shows where a row ends.
    tall = any(len(lines) > 1 for row in high[1:] for lines in row)
    return f"\n{rule}\n".join([blocks[0], *(blocks[1:] if tall else ["\n".join(blocks[1:])])])


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for number in range(max(map(len, cells))):
        parts = [lines[number] if number < len(lines) else "" for lines in cells]
        padded = (part.ljust(wide) for part, wide in zip(parts, widths, strict=True))
        yield f"| {' | '.join(padded)} |"


def _stacked(cells: Sequence[Sequence[str]], width: int) -> str:
    """Return a table as a list: the first cell of each row, and below it the others with their heads."""
    (_, *heads), *rows = cells
    indent = min(3 * width // 5, max(map(len, heads), default=0) + 4)
    lines = []
    for label, *values in rows:
        lines.append(filled(label, width, "  "))
        for head, value in zip(heads, values, strict=True):
            name = f"  {head}  "
            if len(name) <= indent:
                lines.append(filled(value, width, " " * indent, name.ljust(indent)))
            else:
                lines += [filled(head, width, "    ", "  "), filled(value, width, "    ", "    ")]
    return "\n".join(lines)


def filled(text: str, width: int, rest: str = "", first: str = "") -> str:
    """Return a text in lines of at most ``width``, ``first`` before the first line and ``rest`` before others.

    Words are only broken where they are wider than a line.
    """
    lines = textwrap.wrap(
        one_line(text),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
    return "\n".join(lines) or first.rstrip()


def _hint(hint: Hint, width: int) -> str:
    line = markdown.hint(hint)
    if len(line) <= width:
        return line
    return "\n".join(
        [filled(f"{hint.sentence} Next: run", width), *_command(hint.command, width, "  ")]
    )


def _command(command: str, width: int, indent: str) -> Iterator[str]:
    """Yield a command as lines for a shell: between words outside quotes, a backslash goes on."""
    line = indent
    for number, word in enumerate(_words(command)):
        if number and len(line) + 1 + len(word) + len(_CONTINUED) > width:
            yield line + _CONTINUED
            line = f"{indent}  {word}"
        else:
            line = f"{line} {word}" if number else f"{line}{word}"
    yield line


def _words(command: str) -> list[str]:
    """Return the words of a command as typed, with their quotes."""
    words, quote = [""], ""
    for character in command:
        if character == " " and not quote:
            words.append("")
            continue
        if character in "'\"":
            quote = "" if quote == character else quote or character
        words[-1] += character
    return words


def _alerts(lines: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of a list for a terminal; a command begins a line of its own."""
    for line in lines[:_MOST_ALERTS]:
        sentence, _, command = line.rpartition("; next: ")
        yield filled(sentence or line, width, "  ", "- ")
        if sentence:
            first, *rest = _command(command, width - 6, "")
            yield f"  next: {first}"
            yield from (f"      {more}" for more in rest)
    if len(lines) > _MOST_ALERTS:
        yield f"- {not_shown(len(lines) - _MOST_ALERTS, 'further row')}"


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


def _measured(table: Table) -> Table:
    """Return a comparison without the rows in which no machine was measured; the pages have them."""
    return replace(
        table,
        rows=tuple(row for row in table.rows if not {*row[1:]} <= {NOT_MEASURED, NO_VALUE}),
    )


def _lines(cell: str, wide: int) -> list[str]:
    return textwrap.wrap(cell, wide, break_on_hyphens=False, break_long_words=False) or [""]


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split()), default=0)


def _widest(block: str) -> int:
    return max(map(len, block.splitlines()), default=0)
