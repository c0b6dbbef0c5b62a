"""Where names stand beside a plot, so that none covers another."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

CHARACTER = 7.4  # units of width at the size of 13 units: a letter of a wide font, on average
_CAPITAL = 10.0  # and a capital, or another wide one
LINE = 15.0  # units from one line of text to the next

Box = tuple[float, float, float, float]  # left, top, right, bottom


def lines(text: str, most_wide: int = 16, most: int = 3) -> list[str]:
    """Break a name into lines of at most ``most_wide`` characters; what is too long ends in "…"."""
    words = " ".join(text.split())
    return textwrap.wrap(words, most_wide, max_lines=most, placeholder="…") or [NO_NAME]


NO_NAME = "(no name)"


def width(text: str) -> float:
    """Return how wide a text is at most, in a font that is wider than most."""
    return sum(
        _CAPITAL if c.isupper() or c in "mw%@" or ord(c) > 0x2E7F else CHARACTER for c in text
    )


def apart(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Return the middles of labels as near as can be to where they are wanted, none on another.

    They keep their order and stay between ``low`` and ``high`` where there is room for all; where
    there is none they run past ``high``.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    edge = low
    for index in order:  # downwards: none above the one before it
        placed[index] = max(wanted[index], edge + heights[index] / 2)
        edge = placed[index] + heights[index] / 2
    edge = max(high, low + sum(heights))
    for index in reversed(order):  # upwards, from the end that was run over
        placed[index] = min(placed[index], edge - heights[index] / 2)
        edge = placed[index] - heights[index] / 2
    return placed


def beside(x: float, y: float, text: str, taken: Iterable[Box], inside: Box) -> Box | None:
    """Return a free box for a text beside a point: right, left, above or below; None if all are taken."""
    across, gap = width(text), 8.0
    taken = list(taken)
    for left, top in (
        (x + gap, y - LINE / 2),
        (x - gap - across, y - LINE / 2),
        (x - across / 2, y - gap - LINE),
        (x - across / 2, y + gap),
    ):
        box = (left, top, left + across, top + LINE)
        if _within(box, inside) and not any(_overlap(box, other) for other in taken):
            return box
    return None


def _within(box: Box, inside: Box) -> bool:
    return (
        box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]
    )


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
