"""Claims as text for a terminal: the table, and one claim with all that is known of it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from metalassay.claims.catalogue import NEEDS_A_MAC, VERDICTS, Claim
from metalassay.claims.evidence import Evidence

NARROWEST = 40  # a column of truths narrower than this is hard to read; they then go below
RESTS_ON = {
    "test": "a test that runs on any machine",
    "arithmetic": "arithmetic, see claim_arithmetic.py",
    "documents": "what was read or run before, see the source",
    "a Mac": "nothing yet: no Mac has run it",
    "nothing": "nothing, and nothing can decide it",
}


def counts(claims: Sequence[Claim]) -> str:
    """Return how many claims have which verdict, in a line."""
    number = Counter(claim.verdict for claim in claims)
    parts = ", ".join(f"{number[word]} {word}" for word in VERDICTS if number[word])
    return f"{len(claims)} claim{'' if len(claims) == 1 else 's'}" + (f": {parts}" if parts else "")


def table(claims: Sequence[Claim], width: int, guide: str | None = None) -> str:
    """Return id, guide:line, verdict and truth in columns; "+2" counts further places.

    The place shown is the first, or with ``guide`` the first in that guide.
    """
    if not claims:
        return ""
    heads = ("id", "guide:line", "verdict")
    rows = [heads, *((claim.id, _places(claim, guide), claim.verdict) for claim in claims)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    left = sum(widths) + 2 * len(widths)
    room = width - left
    lines = []
    for row, truth in zip(rows, ("truth", *(claim.truth for claim in claims)), strict=True):
        cells = "".join(cell.ljust(size) + "  " for cell, size in zip(row, widths, strict=True))
        if room >= NARROWEST:
            first, *others = textwrap.wrap(truth, room)
            lines += [cells + first, *(" " * left + other for other in others)]
        else:
            below = textwrap.wrap(truth, max(width - 4, NARROWEST))
            lines += [cells.rstrip(), *("    " + each for each in below)]
    return "\n".join(lines)


def _places(claim: Claim, guide: str | None) -> str:
    shown = next(place for place in claim.guides if guide in (None, place.guide))
    others = len(claim.guides) - 1
    return f"{shown} +{others}" if others else str(shown)


def details(claim: Claim, runs: Sequence[Evidence], width: int) -> str:
    """Return everything about a claim: what decides it, how to run that, and what was measured."""
    facts = [
        ("claim", claim.claim),
        ("said in", "guide " + ", ".join(map(str, claim.guides))),
        ("verdict", claim.verdict),
        ("truth", claim.truth),
        ("rests on", RESTS_ON[claim.decided]),
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
    for run in runs:
        lines.append(f"  measured on {run.machine}, {run.device}, torch {run.torch} ({run.file}):")
        lines += [f"    {each.sentence()}" for each in run.comparisons]
    return "\n".join(lines)
