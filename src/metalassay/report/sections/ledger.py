"""The ledger of claims as a section: how many have which verdict, and a row for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metalassay.claims.catalogue import NEEDS_A_MAC, NOT_TESTABLE, VERDICTS, Claim
from metalassay.claims.page import SUBJECTS
from metalassay.report.model import NO_VALUE, Section, Table, counted

_SENTENCES = (
    "What five guides about PyTorch on a Mac claim, in our words, and what is true. Confirmed, refuted, "
    "misleading and depends on version rest on a test that runs anywhere, on arithmetic with the guide's "
    "own numbers, or on a source that was read; a source is no measurement. What needs a Mac is not "
    "decided: nobody has run it on one yet.",
    "The command metalassay claims ID shows a claim with all its evidence; docs/ledger.md has them all.",
)


def section(claims: Sequence[Claim]) -> Section:
    """Lay out the claims: counts by verdict, then a table for the guide that says each first."""
    guides = sorted({place.guide for claim in claims for place in claim.guides})
    decided = sum(claim.verdict not in (NEEDS_A_MAC, NOT_TESTABLE) for claim in claims)
    waiting = sum(claim.verdict == NEEDS_A_MAC for claim in claims)
    first = (
        f"{counted(len(claims), 'claim')}: {decided} decided, {waiting} waiting for a Mac, "
        f"{len(claims) - decided - waiting} that nothing can decide."
    )
    return Section(
        id="ledger",
        title="Ledger of claims",
        sentences=(first, *_SENTENCES),
        tables=(_counts(claims, guides), *_by_guide(claims, guides)),
    )


def _counts(claims: Sequence[Claim], guides: Sequence[str]) -> Table:
    def row(name: str, chosen: Sequence[Claim]) -> tuple[str, ...]:
        of = (sum(any(p.guide == guide for p in c.guides) for c in chosen) for guide in guides)
        return (name, *map(str, of), str(len(chosen)))

    by_verdict = [row(word, [c for c in claims if c.verdict == word]) for word in VERDICTS]
    return Table(
        caption="Claims by verdict and guide",
        head=("verdict", *(f"guide {guide}" for guide in guides), "all"),
        rows=(*by_verdict, row("all", claims)),
        numeric=(False, *[True] * (len(guides) + 1)),
        notes=("A claim of several guides counts for each, and once in the last column.",),
    )


def _by_guide(claims: Iterable[Claim], guides: Sequence[str]) -> Iterable[Table]:
    of_guide: dict[str, list[Claim]] = {guide: [] for guide in guides}
    for claim in claims:
        of_guide[claim.guides[0].guide].append(claim)
    for guide, own in of_guide.items():
        if own:
            subject = f": {SUBJECTS[guide]}" if guide in SUBJECTS else ""
            yield Table(
                caption=f"Guide {guide}{subject}",
                head=("claim", "the guide says", "verdict", "what is true", "evidence"),
                rows=tuple(map(_row, own)),
                numeric=(False,) * 5,
            )


def _row(claim: Claim) -> tuple[str, ...]:
    return (claim.id, claim.claim, claim.verdict, claim.truth, _evidence(claim))


def _evidence(claim: Claim) -> str:
    """Return the command that decides it, here or else on a Mac; or what else it rests on."""
    if claim.here:
        return claim.here[0]
    if claim.verdict != NEEDS_A_MAC and claim.source:
        return "documents and earlier runs: see metalassay claims"
    return f"on a Mac: {claim.on_a_mac[0]}" if claim.on_a_mac else NO_VALUE
