"""Reduce the outcomes of a bug's tests, stock and patched, to one word. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FINE = "fine"
BROKEN = "broken as known"
PATCHED = "patched"
PATCH_FAILS = "patch fails"
FIXED = "fixed upstream?"
NOT_SEEN = "not seen"
NOT_AS_REPORTED = "not as reported"
UNEXPLAINED = "unexplained"
CRASHED = "crashed"
NOT_TESTED = "not tested"

RED = frozenset({PATCH_FAILS, FIXED, UNEXPLAINED, CRASHED})
"""The verdicts for which the data and the outcomes differ."""

MEANING = {
    FINE: "our data calls this version healthy, and the test of correct behaviour passed",
    BROKEN: "affected, and it failed with exactly the symptom that our data names; no patch exists",
    PATCHED: "affected, it failed exactly as our data says, and our patch fixes it",
    PATCH_FAILS: "affected as our data says, but with our patch on it still fails",
    FIXED: "our data calls this version affected, but it behaved correctly",
    NOT_SEEN: "our data calls this version affected, but the symptom, which does not show every time, did not show",
    NOT_AS_REPORTED: "only a report calls this version affected, no run of ours ever did, and here it behaved correctly: a finding",
    UNEXPLAINED: "it failed where our data calls it healthy, or with another symptom than the known one",
    CRASHED: "a test of it ended the whole process; the other bugs were tested without it",
    NOT_TESTED: "the test could not run here; the reason is given",
}


@dataclass(frozen=True)
class TestRun:
    """One run of one test of a bug.

    ``upstream`` is "stock" or "patched". ``affected`` is whether bugs/data/ expects this symptom
    with the installed versions. ``outcome`` is pytest's: "passed", "failed" (or an error in set-up),
    "skipped", "xfailed" (failed with the expected exception and message) or "xpassed" (was expected
    to fail and passed), "unseen" (passed, but the symptom does not show every time), "refuted" (passed,
    and only a report says that it fails), or "crashed" where it ended the process. A ``control`` has no symptom: it should pass everywhere, and counts only if it
    does not.
    """

    __test__ = False  # pytest must not collect it as a test class

    upstream: str
    affected: bool
    outcome: str
    control: bool = False


def one(run: TestRun) -> str:
    """Return the verdict on a single run; ``patched`` here means that the patch worked."""
    if run.outcome == "skipped":
        return NOT_TESTED
    if run.outcome == "crashed":
        return CRASHED
    if run.upstream == "patched":
        if run.outcome == "passed":
            return PATCHED if run.affected else FINE
        return PATCH_FAILS
    if run.affected:
        words = {"xfailed": BROKEN, "xpassed": FIXED, "passed": FIXED}
        words |= {"unseen": NOT_SEEN, "refuted": NOT_AS_REPORTED}
        return words.get(run.outcome, UNEXPLAINED)
    return FINE if run.outcome == "passed" else UNEXPLAINED


def decide(runs: Iterable[TestRun]) -> str:
    """Return the verdict on a bug from all runs of its tests: the worst word wins.

    ``patched`` needs both: a stock run that is broken as known and a healthy patched run. A patched
    run without a stock run proves nothing and counts as not tested. A bug is never ``fine`` while a test
    of a symptom that affects these versions was skipped, or did not see one that shows only sometimes:
    what passed is about other symptoms. What only a report says, and what no run of ours ever showed, is
    ``not as reported`` where all of it behaved correctly; that is no reason for red.
    """
    runs = list(runs)
    judged = [(one(run), run.control) for run in runs]
    words = [word for word, control in judged if word in RED or not control]
    for word in (CRASHED, UNEXPLAINED, PATCH_FAILS, FIXED):
        if word in words:
            return word
    if BROKEN in words:
        return PATCHED if PATCHED in words else BROKEN
    if any(run.affected and run.outcome == "skipped" for run in runs):
        return NOT_TESTED
    for word in (NOT_SEEN, NOT_AS_REPORTED):
        if word in words:
            return word
    return FINE if FINE in words else NOT_TESTED
