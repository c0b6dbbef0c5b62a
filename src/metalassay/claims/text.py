"""Claims as text for a terminal: the table, and one claim with all its evidence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from metalassay.claims.catalogue import NEEDS_A_MAC, VERDICTS, Claim
from metalassay.claims.evidence import Evidence

NARROWEST = 40  # if the last column would be narrower, its text goes on lines of its own
BASIS = {
    "test": "a test that runs on any machine",
    "arithmetic": "arithmetic, see metalassay/claims/arithmetic.py",
    "program": "the guide's own program, executed from its public repository",
    "documents": "documents or earlier runs, see the source",
    "a Mac": "nothing yet: it has not been run on a Mac",
    "nothing": "nothing, and nothing can decide it",
}


def counts(claims: Sequence[Claim]) -> str:
    """Return the number of claims with each verdict, as one line."""
    number = Counter(claim.verdict for claim in claims)
    parts = ", ".join(f"{number[word]} {word}" for word in VERDICTS if number[word])
    return f"{len(claims)} claim{'' if len(claims) == 1 else 's'}" + (f": {parts}" if parts else "")


def table(claims: Sequence[Claim], width: int, guide: str | None = None) -> str:
    """Return id, guide:line, verdict and truth in columns of ``width`` characters in all.

    The place is the first, or the first in ``guide``; "+2" means two further places.
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
    """Return everything about a claim: what decides it, the commands for that, and measurements."""
    facts = [
        ("claim", claim.claim),
        ("said in", "guide " + ", ".join(map(str, claim.guides))),
        ("verdict", claim.verdict),
        ("truth", claim.truth),
        ("based on", BASIS[claim.decided]),
    ]
    if claim.was:
        facts.insert(3, ("before", claim.was))
    if claim.source:
        facts.append(("source", claim.source))
    lines = [claim.id]
    for name, text in facts:
        wrapped = textwrap.wrap(text, max(width - 12, NARROWEST), break_long_words=False)
        lines += [f"  {name:<9} {wrapped[0]}", *(" " * 12 + each for each in wrapped[1:])]
    mac = "decide it on a Mac:" if claim.verdict == NEEDS_A_MAC else "see it on a Mac:"
    program = "see the guide's own program do it:"
    for title, commands in (
        ("decide it:", claim.here),
        (program, claim.by_program),
        (mac, claim.on_a_mac),
    ):
        # Commands stay whole: they are there to be copied.
        lines += [f"  {title}", *(f"    {each}" for each in commands)] if commands else []
    for run in runs:
        lines.append(f"  measured on {run.machine}, {run.device}, torch {run.torch} ({run.file}):")
        lines += [f"    {each.sentence()}" for each in run.comparisons]
    return "\n".join(lines)
