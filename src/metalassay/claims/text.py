"""Claims as text for a terminal: the table, and one claim with all its evidence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from metalassay import language
from metalassay.claims import measured as measurements
from metalassay.claims.catalogue import NEEDS_A_MAC, VERDICTS, Claim
from metalassay.claims.measured import Measured

_PACKAGE = __package__ or ""
NARROWEST = 40  # if the last column would be narrower, its text goes on lines of its own
BASIS = {
    "test": "a test that runs on any machine",
    "arithmetic": "arithmetic, see metalassay/claims/arithmetic.py",
    "program": "the guide's own program, executed from its public repository",
    "documents": "documents or earlier runs, see the source",
    "a Mac": "nothing yet: it has not been run on a Mac",
    "nothing": "nothing, and nothing can decide it",
}


def translated(claim: Claim) -> Claim:
    """Return a claim with its texts in the language in use."""

    def say(text: str) -> str:
        return language.say(_PACKAGE, claim.id, text)

    return replace(claim, claim=say(claim.claim), truth=say(claim.truth))


def _label(word: str) -> str:
    return language.label(_PACKAGE, word)


def counts(claims: Sequence[Claim], measured: Measured | None = None) -> str:
    """Return the number of claims with each verdict, as one line, and how many were decided on Macs."""
    number = Counter(claim.verdict for claim in claims)
    parts = ", ".join(f"{number[word]} {_label(word)}" for word in VERDICTS if number[word])
    noun = _label("claim" if len(claims) == 1 else "claims")
    text = f"{len(claims)} {noun}" + (f": {parts}" if parts else "")
    found = Counter(
        where for claim in claims for where, _ in (measured.settled(claim.id) if measured else ())
    )
    return text + "".join(
        f"; {times} {_label(f'decided {where}')}" for where, times in found.items()
    )


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
    heads = ("id", _label("guide:line"), _label("verdict"))
    rows = [heads, *((claim.id, _places(claim, guide), _label(claim.verdict)) for claim in claims)]
    widths = [max(language.columns(row[column]) for row in rows) for column in range(len(heads))]
    left = sum(widths) + 2 * len(widths)
    room = width - left
    lines = []
    decided = [
        [measurements.sentence(*each) for each in (measured.settled(claim.id) if measured else ())]
        for claim in claims
    ]
    truths = [_label("truth"), *(translated(claim).truth for claim in claims)]
    for row, truth, more in zip(rows, truths, [[], *decided], strict=True):
        cells = "".join(
            language.pad(cell, size) + "  " for cell, size in zip(row, widths, strict=True)
        )
        if room >= NARROWEST:
            first, *others = _wrapped((truth, *more), room)
            lines += [cells + first, *(" " * left + other for other in others)]
        else:
            below = _wrapped((truth, *more), max(width - 4, NARROWEST))
            lines += [cells.rstrip(), *("    " + each for each in below)]
    return "\n".join(lines)


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in _wrap(text, width)]


def _wrap(text: str, width: int) -> list[str]:
    if language.current() == language.ENGLISH:
        return textwrap.wrap(text, width)
    return language.wrap(text, width)


def _places(claim: Claim, guide: str | None) -> str:
    shown = next(place for place in claim.guides if guide in (None, place.guide))
    others = len(claim.guides) - 1
    return f"{shown} +{others}" if others else str(shown)


def details(claim: Claim, measured: Measured, width: int) -> str:
    """Return everything about a claim: what decides it, the commands for that, and measurements."""
    said = translated(claim)
    facts = [
        ("claim", said.claim),
        ("said in", f"{_label('guide')} {', '.join(map(str, claim.guides))}"),
        ("verdict", _label(claim.verdict)),
        ("truth", said.truth),
        ("based on", _label(BASIS[claim.decided])),
    ]
    if claim.was:
        facts.insert(3, ("before", claim.was))
    if claim.source:
        facts.append(("source", claim.source))
    lines = [claim.id]
    for name, text in facts:
        room = max(width - 12, NARROWEST)
        wrapped = (
            textwrap.wrap(text, room, break_long_words=False)
            if language.current() == language.ENGLISH
            else language.wrap(text, room)
        )
        lines += [
            f"  {language.pad(_label(name), 9)} {wrapped[0]}",
            *(" " * 12 + each for each in wrapped[1:]),
        ]
    mac = "decide it on a Mac:" if claim.verdict == NEEDS_A_MAC else "see it on a Mac:"
    program = "see the guide's own program do it:"
    for title, commands in (
        ("decide it:", claim.here),
        (program, claim.by_program),
        (mac, claim.on_a_mac),
    ):
        # Commands stay whole: they are there to be copied.
        lines += [f"  {_label(title)}", *(f"    {each}" for each in commands)] if commands else []
    for where, decided in measured.of(claim.id):
        first, *more = textwrap.wrap(
            measurements.sentence(where, decided), max(width - 2, NARROWEST)
        )
        lines += [f"  {first}", *(f"    {each}" for each in more)]
        lines += [f"    {each.sentence()}" for each in decided.shown]
        lines.append(f"    {decided.run.file}")
    return "\n".join(lines)
