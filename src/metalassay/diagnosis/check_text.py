"""Format what the compatibility suite found in an environment, for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from metalassay import bugs
from metalassay.bugs import verdict
from metalassay.environment import versions
from metalassay.machine import hardware
from metalassay.results import verdict_file
from metalassay.results.verdict_file import BugResult, VersionSet

_STACK = ("accelerate", "torch", "transformers", "trl", "datasets", "peft", "huggingface-hub")
_HERE = (verdict.BROKEN, verdict.PATCHED)
_INDENT = " " * 4
_SLOW = "slow tests: metalassay check --slow"
_MAC = {versions.MACOS, versions.APPLE_SILICON}


def as_text(known: VersionSet, width: int, *, slow: bool = False) -> str:
    """Return the page: the answer, the machine, what is red, what is here, and what was not tested.

    ``width`` is in columns. ``slow`` says whether the slow tests were among those that ran.
    """
    return "\n".join(_lines(known, max(width, 40), slow=slow))


def record(known: VersionSet) -> dict[str, object]:
    """Return the answer for JSON, beside the verdict file: what is red, what is here, what was settled."""
    return {
        "green": not known.red,
        "red": [bug.id for bug in _red(known)] + [each.test for each in known.other_failures],
        "here": [bug.id for bug in known.bugs if bug.verdict in _HERE],
        "fine": [bug.id for bug in known.bugs if bug.verdict == verdict.FINE],
        "not_tested": {bug.id: bug.why for bug in known.bugs if bug.verdict == verdict.NOT_TESTED},
        "settled": _settled(known),
    }


def _red(known: VersionSet) -> list[BugResult]:
    return [bug for bug in known.bugs if bug.verdict in verdict.RED]


def _settled(known: VersionSet) -> dict[str, list[str]]:
    return verdict_file.settled(
        {"id": bug.id, "verdict": bug.verdict, "provenance": bug.provenance} for bug in known.bugs
    )


def _lines(known: VersionSet, width: int, *, slow: bool) -> Iterator[str]:
    red, here = _red(known), [bug for bug in known.bugs if bug.verdict in _HERE]
    fine = [bug for bug in known.bugs if bug.verdict == verdict.FINE]
    yield from _wrapped(_answer(known, len(here), len(fine)), width)
    yield from _wrapped(hardware.describe(known.hardware), width, "  ")
    stack = [f"{name} {known.versions[name]}" for name in _STACK if name in known.versions]
    yield from _wrapped(", ".join([*stack, f"Python {known.versions['python']}"]), width, "  ")
    for bug in red:
        yield ""
        yield f"RED: {bug.verdict}: {bug.id}"
        yield from _wrapped(bug.title, width, _INDENT)
        yield from _wrapped(verdict.MEANING[bug.verdict], width, _INDENT)
        yield f"{_INDENT}{bug.link}"
    for failure in known.other_failures:
        yield ""
        yield f"RED: {failure.outcome}: {failure.test}"
        yield from _wrapped(failure.evidence.splitlines()[-1:], width, _INDENT)
    if here:
        yield ""
        yield f"in these versions, as known ({len(here)}):"
    for bug in here:
        yield from _wrapped(f"{bug.id}: {bug.title}", width, "  ", _INDENT)
        yield from _wrapped(_first_fix(bug), width, _INDENT, _INDENT + "     ")
    yield from _rest(known, width, slow=slow)
    settled = verdict_file.settled_line(_settled(known))
    if settled:
        yield ""
        yield from _wrapped(settled, width)


def _answer(known: VersionSet, here: int, fine: int) -> str:
    if known.red:
        number = len(_red(known)) + len(known.other_failures)
        return (
            f"RED: {number} result{'' if number == 1 else 's'} here that our data does not expect."
            " That is news: a bug that nobody has explained, or one that is gone."
        )
    if not here and not fine:
        return "NOTHING TESTED: no test could run here; the reasons are below."
    return (
        f"GREEN: our data tells the truth here, as far as it was tested. {here} known bug{'' if here == 1 else 's'} of these"
        f" versions failed as known; {fine} bug{' is' if fine == 1 else 's are'} not in them."
    )


def _first_fix(bug: BugResult) -> str:
    fixes = [fix for fix in bug.fixes if not fix.startswith("not a fix")]
    return f"fix: {fixes[0]}" if fixes else ""


def _rest(known: VersionSet, width: int, *, slow: bool) -> Iterator[str]:
    """Yield what was not tested, by reason: the bugs in the file, and those that have no test in it."""
    reasons: Counter[str] = Counter()
    for bug in known.bugs:
        if bug.verdict in (verdict.NOT_TESTED, verdict.NOT_SEEN):
            slow_one = bug.why == verdict_file.SLOW
            reasons[_SLOW if slow_one else bug.why or verdict.MEANING[bug.verdict]] += 1
    if not known.selection.partial:
        tested = {bug.id for bug in known.bugs}
        for row in bugs.load():
            if row.id not in tested:
                reasons[_why_absent(row, known, slow=slow)] += 1
    if reasons:
        yield ""
        yield f"not tested ({reasons.total()} known bugs):"
    for why, number in reasons.most_common():
        yield from _wrapped(f"{number:>3}  {why}", width, "  ", " " * 7)


def _why_absent(row: bugs.Bug, known: VersionSet, *, slow: bool) -> str:
    missing = [name for name in sorted(row.packages) if name not in known.versions]
    if _MAC.intersection(missing):
        return "on a Mac only"
    if missing:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    return "no test of it ran" if slow else _SLOW


def _wrapped(
    text: str | Sequence[str], width: int, first: str = "", rest: str | None = None
) -> list[str]:
    words = text if isinstance(text, str) else " ".join(text)
    return textwrap.wrap(
        words,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
