"""Claims as text for a terminal: the table, and one claim with all its evidence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from metalassay.claims import measured as measurements
from metalassay.claims.catalogue import NEEDS_A_MAC, VERDICTS, Claim
from metalassay.claims.measured import Measured

NARROWEST = 40  # if the last column would be narrower, its text goes on lines of its own
BASIS = {
    "test": "a test that runs on any machine",
    "arithmetic": "arithmetic, see metalassay/claims/arithmetic.py",
    "documents": "documents or earlier runs, see the source",
    "a Mac": "nothing yet: it has not been run on a Mac",
    "nothing": "nothing, and nothing can decide it",
}


def counts(claims: Sequence[Claim], measured: Measured | None = None) -> str:
    """Return the number of claims with each verdict, as one line, and how many were decided on Macs."""
    number = Counter(claim.verdict for claim in claims)
    parts = ", ".join(f"{number[word]} {word}" for word in VERDICTS if number[word])
    text = f"{len(claims)} claim{'' if len(claims) == 1 else 's'}" + (f": {parts}" if parts else "")
    found = Counter(
        where for claim in claims for where, _ in (measured.settled(claim.id) if measured else ())
    )
    return text + "".join(f"; {times} decided {where}" for where, times in found.items())


def table(
    claims: Sequence[Claim],
    width: int,
    guide: str | None = None,
    measured: Measured | None = None,
) -> str:
    """Return id, guide:line, verdict and truth in columns of ``width`` characters in all.

    The place is the first, or the first in ``guide``; "+2" means two further places. What was decided on
    a Mac stands below the truth.
    """
    if not claims:
        return ""
    heads = ("id", "guide:line", "verdict")
    rows = [heads, *((claim.id, _places(claim, guide), claim.verdict) for claim in claims)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    left = sum(widths) + 2 * len(widths)
    room = width - left
    lines = []
    decided = [
        [measurements.sentence(*each) for each in (measured.settled(claim.id) if measured else ())]
        for claim in claims
    ]
    truths = ["truth", *(claim.truth for claim in claims)]
    for row, truth, more in zip(rows, truths, [[], *decided], strict=True):
        cells = "".join(cell.ljust(size) + "  " for cell, size in zip(row, widths, strict=True))
        if room >= NARROWEST:
            first, *others = _wrapped((truth, *more), room)
            lines += [cells + first, *(" " * left + other for other in others)]
        else:
            below = _wrapped((truth, *more), max(width - 4, NARROWEST))
            lines += [cells.rstrip(), *("    " + each for each in below)]
    return "\n".join(lines)


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width)]


def _places(claim: Claim, guide: str | None) -> str:
    shown = next(place for place in claim.guides if guide in (None, place.guide))
    others = len(claim.guides) - 1
    return f"{shown} +{others}" if others else str(shown)


def details(claim: Claim, measured: Measured, width: int) -> str:
    """Return everything about a claim: what decides it, the commands for that, and measurements."""
    facts = [
        ("claim", claim.claim),
        ("said in", "guide " + ", ".join(map(str, claim.guides))),
        ("verdict", claim.verdict),
        ("truth", claim.truth),
        ("based on", BASIS[claim.decided]),
    ]
    if claim.source:
        facts.append(("source", claim.source))
    lines = [claim.id]
    for name, text in facts:
        wrapped = textwrap.wrap(text, max(width - 12, NARROWEST), break_long_words=False)
        lines += [f"  {name:<9} {wrapped[0]}", *(" " * 12 + each for each in wrapped[1:])]
    mac = "decide it on a Mac:" if claim.verdict == NEEDS_A_MAC else "see it on a Mac:"
    for title, commands in (("decide it:", claim.here), (mac, claim.on_a_mac)):
        # Commands stay whole: they are there to be copied.
        lines += [f"  {title}", *(f"    {each}" for each in commands)] if commands else []
    for where, decided in measured.of(claim.id):
        first, *more = textwrap.wrap(
            measurements.sentence(where, decided), max(width - 2, NARROWEST)
        )
        lines += [f"  {first}", *(f"    {each}" for each in more)]
        lines += [f"    {each.sentence()}" for each in decided.shown]
        lines.append(f"    {decided.run.file}")
    return "\n".join(lines)
