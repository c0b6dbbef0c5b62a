"""How wide a text is about: no font is sent along with a drawing, so widths are estimated, generously."""

from __future__ import annotations

# Widths in thousandths of the font size, as in Helvetica and Arial; the rest of ASCII has 556.
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
MARGIN = 1.14
"""How much wider DejaVu and Verdana are, which stand in where neither Helvetica nor Arial is installed."""
# Beyond Latin, and yet in every font.
_IN_EVERY_FONT = frozenset("\N{EN DASH}\N{EM DASH}\N{HORIZONTAL ELLIPSIS}")


def width(text: str, size: float) -> float:
    """Return an upper estimate of the width of a text in a sans-serif font, in the units of ``size``."""
    return sum(map(_thousandths, text)) / 1000 * size * MARGIN


def is_foreign(character: str) -> bool:
    """Return whether a character is neither Latin nor in every font, so that its width is a guess."""
    return ord(character) > 0x2FF and character not in _IN_EVERY_FONT


def shortened(text: str, size: float, room: float) -> str:
    """Return the text cut to ``room``, with an ellipsis where something was cut off."""
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
    """Return the text in at most ``most`` lines no wider than ``room``; the last one is shortened."""
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


def _thousandths(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if is_foreign(character):
        return 1000
    return 556 if character.isascii() or character in _IN_EVERY_FONT else 778
