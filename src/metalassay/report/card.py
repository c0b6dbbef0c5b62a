"""Report -> a card of 1200 by 630, the size that pages show of a link: one SVG that needs nothing else.

No font is sent along, so no width is known: it is estimated on the wide side, and text that is not
Latin is told its width. What does not fit is wrapped or ends in an ellipsis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from metalassay.report.rows import CompatTable, Hint, Report, Table

WIDTH, HEIGHT = 1200, 630
_LEFT, _RIGHT = 64, WIDTH - 64
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

_NARROW = frozenset("iljItfr.,:;'|!()[] ")
_WIDE = frozenset("mwMW@%\N{EM DASH}\N{HORIZONTAL ELLIPSIS}")
_KNOWN = frozenset(
    "\N{EN DASH}\N{EM DASH}\N{HORIZONTAL ELLIPSIS}"
)  # beyond Latin, and in every font


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
    return sum(map(_ems, text)) * size


def _ems(character: str) -> float:
    if character in _WIDE:
        return 1.0
    if ord(character) > 0x2FF and character not in _KNOWN:
        return 1.1
    if character in _NARROW:
        return 0.42
    return 0.8 if character.isupper() else 0.64


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
        lines = wrapped(text, size, _RIGHT - _LEFT, most)
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
    sets = f"{len(compat.rows)} bugs in {len(compat.columns)} version sets"
    yield _line(sets, _LEFT + 150, 378, 22, fill=_QUIET)
    shown = [(word, counts[tone], colour) for tone, word, colour in _TONES if counts[tone]]
    at = float(_LEFT)
    for _, number, colour in shown:
        wide = number / total * (_RIGHT - _LEFT)
        yield (
            f'<rect x="{at:.1f}" y="394" width="{wide:.1f}" height="22" fill="{colour}"'
            f' stroke="{_PAPER}" stroke-width="2"/>'
        )
        at += wide
    at = float(_LEFT)
    for word, number, colour in shown:
        label = f"{number} {word}"
        wide = width(label, 20)
        if at + 26 + wide > _RIGHT:
            break  # seven words in a row fit, so a card without all of them has absurd counts
        yield f'<rect x="{at:.1f}" y="434" width="16" height="16" fill="{colour}"/>'
        yield _line(label, at + 24, 449, 20, bold=word == "RED")
        at += 24 + wide + 22


def _speeds(tables: tuple[Table, ...] | Hint) -> Iterator[str]:
    yield _line("Speed", _LEFT, 506, 22, bold=True)
    if isinstance(tables, Hint):
        yield _line(tables.sentence, _LEFT, 546, 24, fill=_QUIET)
        return
    rows = [row for table in tables for row in _rows(table)]
    for number, (what, speed) in enumerate(rows[:_MOST_SPEEDS]):
        y = 536 + 24 * number
        yield _line(what, _LEFT, y, 19, room=800)
        yield _line(speed, _LEFT + 816, y, 19, room=_RIGHT - _LEFT - 816, bold=True)
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
    return f'<rect x="{_LEFT}" y="{y}" width="{_RIGHT - _LEFT}" height="1" fill="{_RULE}"/>'


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
    foreign = any(ord(character) > 0x2FF and character not in _KNOWN for character in shown)
    told = f' textLength="{width(shown, size):.0f}" lengthAdjust="spacingAndGlyphs"'
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
