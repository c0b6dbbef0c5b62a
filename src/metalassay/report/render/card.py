"""Report -> a card for link previews, 1200 by 630: one SVG that needs nothing else.

No font is sent along, so widths are estimated (``text_width``), and text that is not Latin gets an
explicit width. What does not fit is wrapped or ends in an ellipsis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from metalassay.fields import one_line
from metalassay.report.model import CompatTable, Hint, Report, Table, counted
from metalassay.report.render.text_width import MARGIN, is_foreign, shortened, width, wrapped

WIDTH, HEIGHT = 1200, 630
_LEFT, _RIGHT = 64, WIDTH - 64
_ROOM = _RIGHT - _LEFT
_INK, _QUIET, _PAPER, _RULE = "#1a1a1a", "#5a5a5a", "#fbfaf7", "#d8d5cc"

# The palette of Okabe and Ito, which does not depend on colour vision; each colour has its word too.
_TONES = (
    ("red", "RED", "#d55e00"),
    ("fine", "fine", "#0072b2"),
    ("broken", "broken as known", "#e69f00"),
    ("patched", "broken, patch works", "#56b4e9"),
    ("untested", "not tested", "#b5b5b5"),
    ("absent", "not installable", "#dddddd"),
    ("unreadable", "unreadable", "#dddddd"),
    ("unfinished", "not finished", "#dddddd"),
)
_SPEED = "median items/s"
_MOST_SPEEDS, _MOST_SPEEDS_ALONE = 4, 9  # rows, below verdicts and without any


def render(report: Report) -> str:
    """Return the card as a whole SVG document: of two or more machines their figures, else speeds."""
    text = report.headline or (report.summary_line,)
    figures = report.key_figures
    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>',
        f'<rect width="{WIDTH}" height="12" fill="#0072b2"/>',
        *_band(report.rehearsal, report.doubt),
        _line("metalassay", _LEFT, 76, 30, bold=True),
        _line(
            "what PyTorch does on these machines"
            if figures
            else "what PyTorch does on this machine",
            _LEFT + 210,
            76,
            24,
            fill=_QUIET,
        ),
    ]
    if figures:
        # The last sentence of the headline is on speed, with the ratio.
        body += [*_headline(text[-1], 84, (28, 2), (24, 3), (20, 3)), *_figures(figures)]
        body += [_rule(518), *_compat(report.compat, 518)]
    else:
        body += [*_headline(" ".join(text), 108, (38, 4), (30, 5), (25, 7)), _rule(342)]
        if isinstance(report.compat, Hint) and not isinstance(report.benchmarks, Hint):
            body += _speeds(report.benchmarks, 342, _MOST_SPEEDS_ALONE)
        else:
            body += [*_compat(report.compat, 342), _rule(470)]
            body += _speeds(report.benchmarks, 470, _MOST_SPEEDS)
    marked = filter(None, (report.rehearsal, report.doubt and f"{report.doubt}.", *text))
    label = escape(one_line(" ".join(marked)), {'"': "&quot;"})
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
            f' viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="metalassay: {label}"'
            ' font-family="Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif">',
            *body,
            "</svg>",
            "",
        ]
    )


def _band(rehearsal: str, doubt: str) -> Iterator[str]:
    """Yield a band across the top: nothing was measured, or what makes the figures doubtful; else nothing."""
    first = rehearsal.partition(". ")[0].rstrip(".")  # the rest is on the pages
    said = [f"{each}." for each in (first, doubt) if each]
    if not said:
        return
    yield f'<rect width="{WIDTH}" height="42" fill="#e69f00"/>'
    yield _line(" ".join(said), _LEFT, 29, 20, bold=True)


def _figures(table: Table) -> Iterator[str]:
    """Yield the figures of the first two machines, and of the second over the first."""
    machines = len(table.head) // 2  # a column for each, and for each ratio over the first
    columns = (1, 2, 1 + machines)
    setting = table.caption.rpartition(": ")[2]
    places = ((_LEFT, 300), (_LEFT + 312, 240), (_LEFT + 564, 240), (_LEFT + 816, _ROOM - 816))
    for (x, room), name in zip(places, (setting, *(table.head[c] for c in columns)), strict=True):
        yield from (
            _line(line, x, 208 + 22 * number, 17, room=room, bold=True)
            for number, line in enumerate(wrapped(name, 18, room, 2))
        )
    for number, row in enumerate(table.rows):
        y = 266 + 44 * number
        yield _rule(y - 29)
        for (x, room), column in zip(places, (0, *columns), strict=True):
            is_ratio = column == columns[2]
            value, _, mark = row[column].partition(" (") if is_ratio else (row[column], "", "")
            lines = (
                [value, f"({mark}"] if mark else wrapped(value, 18 if is_ratio else 17, room - 2, 2)
            )
            for down, line in enumerate(lines):
                bold = is_ratio and not (mark and down)
                up = 7 if len(lines) > 1 else 0
                yield _line(line, x, y - up + 18 * down, 17, room=room, bold=bold)
    if machines > 2:
        more = f"and {counted(machines - 2, 'more machine')} in the report"
        yield _line(more, _LEFT, 230, 17, room=300, fill=_QUIET)


def _headline(text: str, top: int, *sizes: tuple[int, int]) -> Iterator[str]:
    """Yield a text below ``top`` in the first of ``sizes``, of a font and lines, in which all of it fits."""
    for size, most in sizes:
        lines = wrapped(text, size, _ROOM - 2, most)
        if " ".join(lines) == one_line(text):
            break
    for number, line in enumerate(lines):
        yield _line(line, _LEFT, top + round((number + 1) * size * 1.22), size)


def _compat(compat: CompatTable | Hint, top: int) -> Iterator[str]:
    yield _line("Known bugs", _LEFT, top + 36, 22, bold=True)
    if isinstance(compat, Hint):
        yield _line(compat.sentence, _LEFT, top + 78, 24, fill=_QUIET)
        return
    counts = Counter(cell.tone for row in compat.rows for cell in row.cells)
    total = sum(
        counts[tone] for tone, _, _ in _TONES
    )  # where nothing is to report, nothing is shown
    sets = (
        f"{counted(compat.bugs, 'bug')} in {counted(len(compat.columns), 'version set')},"
        f" {counted(total, 'cell')}"
    )
    yield _line(sets, _LEFT + 150, top + 36, 22, fill=_QUIET)
    present = [(word, counts[tone], colour) for tone, word, colour in _TONES if counts[tone]]
    x = float(_LEFT)
    for _, number, colour in present:
        wide = number / total * _ROOM
        yield (
            f'<rect x="{x:.1f}" y="{top + 48}" width="{wide:.1f}" height="22" fill="{colour}"'
            f' stroke="{_PAPER}" stroke-width="2"/>'
        )
        x += wide
    yield from _legend([(f"{number} {word}", colour) for word, number, colour in present], top + 80)


def _legend(labels: Sequence[tuple[str, str]], top: int) -> Iterator[str]:
    """Yield the legend of the colours; nothing is left out, so many labels get a smaller font."""
    size = 20
    while size > 10 and sum(_label_width(text, size) for text, _ in labels) > _ROOM:
        size -= 1
    x = float(_LEFT)
    for text, colour in labels:
        yield f'<rect x="{x:.1f}" y="{top}" width="16" height="16" fill="{colour}"/>'
        yield _line(text, x + 22, top + 15, size)
        x += _label_width(text, size)


def _label_width(text: str, size: float) -> float:
    return 22 + width(text, size) + 16


def _speeds(tables: tuple[Table, ...] | Hint, top: int, most: int) -> Iterator[str]:
    yield _line("Speed", _LEFT, top + 36, 22, bold=True)
    if isinstance(tables, Hint):
        yield _line(tables.sentence, _LEFT, top + 76, 24, fill=_QUIET)
        return
    # The headline names a machine that is the only one.
    rows = [row for table in tables for row in _rows(table, named=len(tables) > 1)]
    for number, (what, speed) in enumerate(rows[:most]):
        y = top + 66 + 24 * number
        yield _line(what, _LEFT, y, 19, room=800)
        yield _line(speed, _LEFT + 816, y, 19, room=_ROOM - 816, bold=True)
    if len(rows) > most:
        more = f"and {len(rows) - most:,} more in the report"
        yield _line(more, _LEFT + 100, top + 36, 20, fill=_QUIET)


def _rows(table: Table, *, named: bool) -> Iterator[tuple[str, str]]:
    """Yield what was measured and how fast it was; nothing for a table without a speed."""
    if _SPEED not in table.head:
        return
    names = [name for name in ("workload", "mode", "device", "batch") if name in table.head]
    for row in table.rows:
        cells = dict(zip(table.head, row, strict=True))
        about = [f"batch {cells[name]}" if name == "batch" else cells[name] for name in names]
        where = f": {table.caption}" if named else ""
        yield f"{', '.join(about)}{where}", cells[_SPEED]


def _rule(y: int) -> str:
    return f'<rect x="{_LEFT}" y="{y}" width="{_ROOM}" height="1" fill="{_RULE}"/>'


def _line(
    text: str,
    x: float,
    y: float,
    size: int,
    *,
    fill: str = _INK,
    bold: bool = False,
    room: float | None = None,
) -> str:
    # Bold letters are some 6 % wider.
    shown = shortened(one_line(text), size * (1.06 if bold else 1), (room or _RIGHT - x) - 1)
    weight = ' font-weight="bold"' if bold else ""
    # The width of other scripts cannot be estimated, so the text is fitted to one.
    foreign = any(map(is_foreign, shown))
    fitted = f' textLength="{width(shown, size) / MARGIN:.0f}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text x="{x:.1f}" y="{y:.0f}" font-size="{size}" fill="{fill}"{weight}'
        f"{fitted if foreign else ''}>{escape(_drawable(shown))}</text>"
    )


def _drawable(text: str) -> str:
    """Replace the characters that XML 1.0 forbids even as references."""
    return "".join(
        character
        if character >= " " and character not in "\ufffe\uffff"
        else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )
