"""Report -> a card of 1200 by 630, the size that pages show of a link: one SVG that needs nothing else.

No font is sent along, so no width is known: it is estimated on the wide side, and text that is not
Latin is told its width. What does not fit is wrapped or ends in an ellipsis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from metalassay.report.model import CompatTable, Hint, Report, Table

WIDTH, HEIGHT = 1200, 630
_LEFT, _RIGHT = 64, WIDTH - 64
_ROOM = _RIGHT - _LEFT
_INK, _QUIET, _PAPER, _RULE = "#1a1a1a", "#5a5a5a", "#fbfaf7", "#d8d5cc"

# Okabe and Ito's colours, which people with any colour vision tell apart; every one has its word.
_TONES = (
    ("red", "RED", "#d55e00"),
    ("fine", "fine", "#0072b2"),
    ("broken", "broken as known", "#e69f00"),
    ("patched", "broken, patch works", "#56b4e9"),
    ("untested", "not tested", "#b5b5b5"),
    ("absent", "not installable", "#dddddd"),
    ("unreadable", "unreadable", "#dddddd"),
)
_SPEED, _MOST_SPEEDS = "median items/s", 4

# Widths in thousandths of the size, as Helvetica and Arial have them; the rest of ASCII has 556.
_CLASSES = {
    222: "ijl'|",
    278: "ft I.,:;!/\\[]",
    333: 'r-()`{}*"',
    500: "ckvxyzsJ",
    611: "FTZ+=<>~",
    667: "ABEKPSVXY&",
    722: "wCDHNRU",
    778: "GOQ",
    833: "mM",
    889: "%",
    944: "W",
    1015: "@\N{EM DASH}\N{HORIZONTAL ELLIPSIS}",
}
_WIDTHS = {character: width for width, text in _CLASSES.items() for character in text}
_MARGIN = 1.14  # DejaVu and Verdana, which stand in where neither is there, are so much wider
# Beyond Latin, and yet in every font.
_KNOWN = frozenset("\N{EN DASH}\N{EM DASH}\N{HORIZONTAL ELLIPSIS}")


def render(report: Report) -> str:
    """Return the card as a whole SVG document."""
    text = report.headline or (report.summary_line,)
    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>',
        f'<rect width="{WIDTH}" height="12" fill="#0072b2"/>',
        _line("metalassay", _LEFT, 76, 30, bold=True),
        _line("what PyTorch really does here", _LEFT + 210, 76, 24, fill=_QUIET),
        *_headline(" ".join(text)),
        _rule(342),
        *_compat(report.compat),
        _rule(470),
        *_speeds(report.benchmarks),
    ]
    said = escape(" ".join(" ".join(text).split()), {'"': "&quot;"})
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
            f' viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="metalassay: {said}"'
            ' font-family="Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif">',
            *body,
            "</svg>",
            "",
        ]
    )


def width(text: str, size: float) -> float:
    """Return about how wide a text is at most, in the units of ``size``, in a sans-serif font."""
    return sum(map(_thousandths, text)) / 1000 * size * _MARGIN


def _thousandths(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if _is_foreign(character):
        return 1000
    return 556 if character.isascii() or character in _KNOWN else 778


def _is_foreign(character: str) -> bool:
    return ord(character) > 0x2FF and character not in _KNOWN


def shortened(text: str, size: float, room: float) -> str:
    """Return a text that is no wider than ``room``, with an ellipsis where something was cut."""
    if width(text, size) <= room:
        return text
    used, kept = width("\N{HORIZONTAL ELLIPSIS}", size), ""
    for character in text:
        used += width(character, size)
        if used > room:
            break
        kept += character
    return kept.rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def wrapped(text: str, size: float, room: float, most: int) -> list[str]:
    """Return a text in at most ``most`` lines no wider than ``room``; the last one is shortened."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most - 1:
        line = words.pop(0)
        while words and width(f"{line} {words[0]}", size) <= room:
            line = f"{line} {words.pop(0)}"
        lines.append(shortened(line, size, room))
    if words:
        lines.append(shortened(" ".join(words), size, room))
    return lines


def _headline(text: str) -> Iterator[str]:
    # The largest letters in which all of it can be read.
    for size, most in ((38, 4), (30, 5), (25, 7)):
        lines = wrapped(text, size, _ROOM - 2, most)
        if " ".join(lines) == " ".join(text.split()):
            break
    for number, line in enumerate(lines):
        yield _line(line, _LEFT, 108 + round((number + 1) * size * 1.22), size)


def _compat(compat: CompatTable | Hint) -> Iterator[str]:
    yield _line("Known bugs", _LEFT, 378, 22, bold=True)
    if isinstance(compat, Hint):
        yield _line(compat.sentence, _LEFT, 420, 24, fill=_QUIET)
        return
    counts = Counter(cell.tone for row in compat.rows for cell in row.cells)
    total = sum(counts.values())
    sets = f"{len(compat.rows)} bugs in {len(compat.columns)} version sets, {total} cells"
    yield _line(sets, _LEFT + 150, 378, 22, fill=_QUIET)
    shown = [(word, counts[tone], colour) for tone, word, colour in _TONES if counts[tone]]
    at = float(_LEFT)
    for _, number, colour in shown:
        wide = number / total * _ROOM
        yield (
            f'<rect x="{at:.1f}" y="394" width="{wide:.1f}" height="22" fill="{colour}"'
            f' stroke="{_PAPER}" stroke-width="2"/>'
        )
        at += wide
    yield from _legend([(f"{number} {word}", colour) for word, number, colour in shown])


def _legend(labels: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield what each colour means; nothing is left out, so many labels are smaller."""
    size = 20
    while size > 10 and sum(_label(text, size) for text, _ in labels) > _ROOM:
        size -= 1
    at = float(_LEFT)
    for text, colour in labels:
        yield f'<rect x="{at:.1f}" y="434" width="16" height="16" fill="{colour}"/>'
        yield _line(text, at + 22, 449, size)
        at += _label(text, size)


def _label(text: str, size: float) -> float:
    return 22 + width(text, size) + 16


def _speeds(tables: tuple[Table, ...] | Hint) -> Iterator[str]:
    yield _line("Speed", _LEFT, 506, 22, bold=True)
    if isinstance(tables, Hint):
        yield _line(tables.sentence, _LEFT, 546, 24, fill=_QUIET)
        return
    rows = [row for table in tables for row in _rows(table)]
    for number, (what, speed) in enumerate(rows[:_MOST_SPEEDS]):
        y = 536 + 24 * number
        yield _line(what, _LEFT, y, 19, room=800)
        yield _line(speed, _LEFT + 816, y, 19, room=_ROOM - 816, bold=True)
    if len(rows) > _MOST_SPEEDS:
        more = f"and {len(rows) - _MOST_SPEEDS:,} more in the report"
        yield _line(more, _LEFT + 100, 506, 20, fill=_QUIET)


def _rows(table: Table) -> Iterator[tuple[str, str]]:
    """Yield what was measured and how fast it was; a table without such a column yields nothing."""
    if _SPEED not in table.head:
        return
    names = [name for name in ("workload", "mode", "device", "batch") if name in table.head]
    for row in table.rows:
        about = [
            f"batch {row[table.head.index(name)]}"
            if name == "batch"
            else row[table.head.index(name)]
            for name in names
        ]
        yield f"{', '.join(about)}: {table.caption}", row[table.head.index(_SPEED)]


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
    shown = shortened(
        " ".join(text.split()), size * (1.06 if bold else 1), (room or _RIGHT - x) - 1
    )
    weight = ' font-weight="bold"' if bold else ""
    # Of other scripts no width can be guessed: the renderer is told one.
    foreign = any(map(_is_foreign, shown))
    told = f' textLength="{width(shown, size) / _MARGIN:.0f}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text x="{x:.1f}" y="{y:.0f}" font-size="{size}" fill="{fill}"{weight}'
        f"{told if foreign else ''}>{escape(_drawable(shown))}</text>"
    )


def _drawable(text: Sequence[str] | str) -> str:
    """Return the text without what XML 1.0 forbids, even as a reference."""
    return "".join(
        each if each >= " " and each not in "\ufffe\uffff" else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )
