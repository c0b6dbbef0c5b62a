"""The ledger of claims as a section: the number of claims per verdict, and one row per claim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from metalassay.claims import measured as measurements
from metalassay.claims.catalogue import NEEDS_A_MAC, NOT_TESTABLE, VERDICTS, Claim
from metalassay.claims.measured import Measured
from metalassay.claims.page import SUBJECTS
from metalassay.report.model import NO_VALUE, Filter, Section, Table, counted

_SENTENCES = (
    "The claims of five guides about PyTorch on a Mac, in our words, and what is true. The verdicts confirmed, "
    "refuted, misleading and depends on version rest on a test that runs anywhere, on arithmetic with the "
    "numbers of the guide, or on a published source; a source is not a measurement. A claim that needs a Mac "
    "is undecided: nobody has run its test on one yet.",
    "The command metalassay claims ID shows a claim with all its evidence; docs/ledger.md lists all claims.",
)


def section(claims: Sequence[Claim], measured: Measured | None = None) -> Section:
    """Return the section: counts by verdict, then one table per guide, each claim in that of its first guide.

    What was ``measured`` on Macs has a table of its own before them: it is no verdict of this release.
    """
    guides = sorted({place.guide for claim in claims for place in claim.guides})
    decided = sum(claim.verdict not in (NEEDS_A_MAC, NOT_TESTABLE) for claim in claims)
    waiting = sum(claim.verdict == NEEDS_A_MAC for claim in claims)
    first = (
        f"{counted(len(claims), 'claim')}: {decided} decided, {waiting} waiting for a Mac, "
        f"{len(claims) - decided - waiting} not testable."
    )
    return Section(
        id="ledger",
        title="Ledger of claims",
        sentences=(first, *_SENTENCES),
        filters=_filters(guides),
        tables=(
            _counts(claims, guides),
            *_measured(claims, measured or Measured()),
            *_by_guide(claims, guides),
        ),
    )


def _measured(claims: Sequence[Claim], measured: Measured) -> Iterable[Table]:
    found = [(claim, *each) for claim in claims for each in measured.of(claim.id)]
    if not found:
        return
    rows = tuple(
        (
            claim.id,
            claim.claim,
            claim.verdict,
            f"{decided.word} {where}" if decided.settled else "open",
            decided.why or "; ".join(one.sentence() for one in decided.shown),
            decided.run.conditions(),
        )
        for claim, where, decided in found
    )
    yield Table(
        caption="Claims that were measured",
        head=(
            "claim",
            "claimed by the guide",
            "verdict of this release",
            "measured",
            "how",
            "conditions",
        ),
        rows=rows,
        numeric=(False,) * 6,
        tags=tuple((*_tags(claim), "measured") for claim, *_ in found),
        notes=(measurements.NOTE,),
    )


def _counts(claims: Sequence[Claim], guides: Sequence[str]) -> Table:
    def row(name: str, chosen: Sequence[Claim]) -> tuple[str, ...]:
        per_guide = (
            sum(any(place.guide == guide for place in claim.guides) for claim in chosen)
            for guide in guides
        )
        return (name, *map(str, per_guide), str(len(chosen)))

    by_verdict = [
        row(verdict, [claim for claim in claims if claim.verdict == verdict])
        for verdict in VERDICTS
    ]
    return Table(
        caption="Claims by verdict and guide",
        head=("verdict", *(f"guide {guide}" for guide in guides), "all"),
        rows=(*by_verdict, row("all", claims)),
        numeric=(False, *[True] * (len(guides) + 1)),
        notes=(
            "A claim made by several guides counts once for each of them, and once in the last column.",
        ),
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
                head=(
                    "claim",
                    "lines",
                    "claimed by the guide",
                    "verdict",
                    "what is true",
                    "evidence",
                ),
                rows=tuple(map(_row, own)),
                numeric=(False,) * 6,
                links=_links(own, column=5),
                tags=tuple(map(_tags, own)),
            )


def _row(claim: Claim) -> tuple[str, ...]:
    lines = ", ".join(map(str, claim.guides))
    return (claim.id, lines, claim.claim, claim.verdict, claim.truth, _evidence(claim))


def _filters(guides: Sequence[str]) -> tuple[Filter, ...]:
    """Return the choices of rows: by guide, by verdict, and by what would decide a claim."""
    return (
        Filter("ledger-guide", "guide", tuple((f"guide-{guide}", guide) for guide in guides)),
        Filter("ledger-verdict", "verdict", tuple((_tag(word), word) for word in VERDICTS)),
        Filter(
            "ledger-by",
            "decided by",
            (
                ("open-on-a-mac", "nothing yet, a Mac would"),
                ("command-on-a-mac", "anything, and a Mac can show it"),
                ("measured", "a measurement"),
            ),
        ),
    )


def _tag(text: str) -> str:
    return text.lower().replace(" ", "-")


def _tags(claim: Claim) -> tuple[str, ...]:
    tags = [*(f"guide-{place.guide}" for place in claim.guides), _tag(claim.verdict)]
    if claim.verdict == NEEDS_A_MAC:
        tags.append("open-on-a-mac")
    elif claim.on_a_mac:
        tags.append("command-on-a-mac")
    return tuple(dict.fromkeys(tags))


def _links(claims: Sequence[Claim], column: int) -> dict[tuple[int, int], str]:
    """Return the first web address of each claim's source, at its evidence."""
    found = {}
    for row, claim in enumerate(claims):
        address = re.search(r"https://[^\s;]+", claim.source)
        if address is not None:
            found[row, column] = address[0]
    return found


def _evidence(claim: Claim) -> str:
    """Return the command that decides a claim, on any machine or else on a Mac, or its other evidence."""
    if claim.here:
        return claim.here[0]
    if claim.by_program:
        return f"the guide's own program, from a clone: {claim.by_program[0]}"
    if claim.verdict != NEEDS_A_MAC and claim.source:
        return f"documents and earlier runs: metalassay claims {claim.id}"
    return f"on a Mac: {claim.on_a_mac[0]}" if claim.on_a_mac else NO_VALUE
