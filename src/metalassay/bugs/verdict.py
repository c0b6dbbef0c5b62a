"""From what the tests of one bug did, stock and patched, to one word. Pure; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FINE = "fine"
BROKEN = "broken as known"
PATCHED = "patched"
PATCH_FAILS = "patch fails"
FIXED = "fixed upstream?"
UNEXPLAINED = "unexplained"
NOT_TESTED = "not tested"

RED = frozenset({PATCH_FAILS, FIXED, UNEXPLAINED})
"""The verdicts in which data and reality differ."""

MEANING = {
    FINE: "our data calls this version healthy, and the test of correct behaviour passed",
    BROKEN: "affected, and it failed with exactly the symptom that our data names; no patch exists",
    PATCHED: "affected, it failed exactly as our data says, and our patch fixes it",
    PATCH_FAILS: "affected as our data says, but with our patch on it still fails",
    FIXED: "our data calls this version affected, but it behaved correctly",
    UNEXPLAINED: "it failed where our data calls it healthy, or with another symptom than the known one",
    NOT_TESTED: "the test could not run here; the reason is given",
}


@dataclass(frozen=True)
class TestRun:
    """One test of one bug, run once.

    ``upstream`` is "stock" or "patched". ``affected`` is what bugs/data/ says of this symptom
    for the versions installed. ``outcome`` is pytest's: "passed", "failed" (an error in set-up
    counts as one), "skipped", "xfailed" (failed with the expected exception and message) or
    "xpassed" (was expected to fail and passed). A ``control`` has no symptom to show: it passes
    everywhere, and speaks only when it does not.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    upstream: str
    affected: bool
    outcome: str
    control: bool = False


def one(run: TestRun) -> str:
    """Judge a single run; ``patched`` here means that the patch did its work."""
    if run.outcome == "skipped":
        return NOT_TESTED
    if run.upstream == "patched":
        if run.outcome == "passed":
            return PATCHED if run.affected else FINE
        return PATCH_FAILS
    if run.affected:
        return {"xfailed": BROKEN, "xpassed": FIXED, "passed": FIXED}.get(run.outcome, UNEXPLAINED)
    return FINE if run.outcome == "passed" else UNEXPLAINED


def decide(runs: Iterable[TestRun]) -> str:
    """Judge a bug by all runs of its tests: the worst word wins.

    ``patched`` needs both halves: the stock run broken as known and the patched run healthy. A
    patched run without a stock run beside it proves nothing and counts as not tested.
    """
    judged = [(one(run), run.control) for run in runs]
    words = [word for word, control in judged if word in RED or not control]
    for word in (UNEXPLAINED, PATCH_FAILS, FIXED):
        if word in words:
            return word
    if BROKEN in words:
        return PATCHED if PATCHED in words else BROKEN
    return FINE if FINE in words else NOT_TESTED
