"""Whether an environment can train: the one sentence with which `metalassay doctor` begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from metalassay.diagnosis.findings import BUG, EVERYBODY, MPS, Finding
from metalassay.environment.executed import Executed

YES, PROBABLY, EXCEPT, NO, NOTHING = "yes", "probably", "except", "no", "nothing"


@dataclass(frozen=True)
class Verdict:
    """Whether it trains, in a word and in a sentence.

    "yes": executed, and nothing is known against it. "probably": nothing is known, but these versions
    were not executed together. "except": some entries stop. "nothing": there is nothing to judge.
    """

    trains: str
    says: str


def decide(
    findings: Sequence[Finding],
    executed: Executed | None,
    *,
    linked: int | None,
    judged: Collection[str],
) -> Verdict:
    """Return the verdict on findings in their order.

    ``linked`` counts what the link check found, None if it was not run; ``judged`` are the installed
    packages that something is known about.
    """
    counted = [finding for finding in findings if finding.counts]
    stopping = [finding for finding in counted if finding.stops]
    for_all = [finding for finding in stopping if finding.entry in EVERYBODY]
    torch = [each for each in counted if each.id == "torch-not-importable"]
    if torch or for_all:
        first, *others = torch or for_all
        return Verdict(NO, f"No: {first.title}{_and_more(len(others))}")
    if judged and "torch" not in judged:
        return Verdict(NO, "No: torch is not installed")
    unfinished = [each for each in counted if each.id == "torch-did-not-finish"]
    if unfinished:
        first = unfinished[0]
        return Verdict(PROBABLY, f"Not known: {first.observed}. Again: {first.fix}")
    if stopping:
        entries = ", ".join(dict.fromkeys(finding.entry for finding in stopping))
        return Verdict(EXCEPT, f"Yes, except for: {entries}")
    cpu = [each for each in counted if each.kind == MPS and each.severity == "error"]
    if cpu:
        return Verdict(EXCEPT, f"Yes, but on the CPU only: {cpu[0].title}")
    if not counted and not judged:
        return Verdict(NOTHING, "No package with known bugs is installed here.")
    known = [each for each in counted if each.kind == BUG]
    if counted:
        what = f"{len(known)} known bug{'s' if len(known) > 1 else ''} can be fixed"
        if len(counted) > len(known):
            what = f"{len(counted)} finding{'s' if len(counted) > 1 else ''}"
        return (
            Verdict(YES, f"Yes, with care: {what}")
            if executed
            else Verdict(PROBABLY, f"Probably: {what}; this combination was not tested together")
        )
    if executed:
        return Verdict(YES, f"Yes. Healthy: {executed}, and no known bug that a version fixes")
    link = "; the link check found nothing" if linked == 0 else ""
    return Verdict(
        PROBABLY, f"Probably: no known bug; this combination was not tested together{link}"
    )


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""
