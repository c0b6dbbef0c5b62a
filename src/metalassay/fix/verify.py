"""Judges an environment after a change by what it did before: what worked must work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metalassay import bugs
from metalassay.fix import bug_tests
from metalassay.fix.distributions import Installed
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage

_MOST_TESTED = 3  # bugs: the tests of one take up to a minute

NEEDED = (*smoke.IMPORTS, "Accelerator", "Trainer")
"""The stages without which nothing is called fixed, unless these versions do not have them."""


@dataclass(frozen=True)
class Verdict:
    """What a verification found: why the change must not stay, and what stays broken all the same.

    ``tested`` says in words what ran.
    """

    failures: tuple[str, ...]
    still_broken: tuple[str, ...]
    tested: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the change may stay."""
        return not self.failures


def judge(
    before: Sequence[Stage],
    after: Sequence[Stage],
    requirements: Sequence[str],
    old: Installed,
    new: Installed,
) -> Verdict:
    """Compare the stages and the packages before and after a change."""
    worked = {stage.name for stage in before if stage.works}
    was_broken = {stage.name for stage in before if stage.broken}
    failures = [*_versions(requirements, new)]
    failures += sorted(f"{each} now" for each in new.conflicts() - old.conflicts())
    still = []
    for stage in after:
        if stage.name in worked and not stage.works:
            failures.append(f"{stage.name} worked before and does not now: {_why(stage)}")
        elif stage.broken and (stage.name in NEEDED or stage.name not in was_broken):
            failures.append(f"{stage.name} fails: {_why(stage)}")
        elif stage.broken:
            still.append(f"{stage.name} fails as it did before: {_why(stage)}")
    gone = worked - {stage.name for stage in after}
    failures += [f"{name} worked before and is not there now" for name in sorted(gone)]
    works = [stage.name for stage in after if stage.works and stage.name not in smoke.IMPORTS]
    imports = sum(stage.works for stage in after if stage.name in smoke.IMPORTS)
    counted = f"{imports} package imported" if imports == 1 else f"{imports} packages imported"
    tested = (counted, *works)
    return Verdict(tuple(failures), tuple(still), tested)


def run(
    python: str,
    before: Sequence[Stage],
    requirements: Sequence[str],
    old: Installed,
    new: Installed,
    fixed: Sequence[str],
    *,
    timeout: float,
    begins: Callable[[str], object],
) -> Verdict:
    """Try the packages of an environment, and run the tests of the bugs that should be fixed."""
    after = smoke.run(python, smoke.stages_for(new.versions), timeout=timeout, begins=begins)
    verdict = judge(before, after, requirements, old, new)
    if not verdict.good or not fixed:
        return verdict
    tested = _foremost(fixed)
    part = "" if len(tested) == len(fixed) else f"{len(tested)} of the {len(fixed)} "
    begins(f"the tests of {part or 'the '}fixed bugs")
    outcome, why = bug_tests.run(python, tested)
    if outcome == bug_tests.FAILED:
        return Verdict((f"the tests of the fixed bugs fail: {why}",), verdict.still_broken, ())
    said = f"tests of {part or 'the '}fixed bugs: {why}"
    said = f"not tested: {said}" if outcome == bug_tests.NOT_TESTED else said
    return Verdict((), verdict.still_broken, (*verdict.tested, said))


def _foremost(ids: Sequence[str]) -> list[str]:
    """Return the bugs whose tests are run: what stops the training first, then what is reported most."""
    known = {bug.id: bug for bug in bugs.load()}
    found = sorted(ids, key=lambda each: _order(known.get(each)))
    return found[:_MOST_TESTED]


def _order(bug: bugs.Bug | None) -> tuple[bool, int]:
    return (True, 0) if bug is None else (not bug.stops, -bug.reports)


def _versions(requirements: Sequence[str], new: Installed) -> list[str]:
    found: Mapping[str, str] = new.versions
    failures = []
    for text in requirements:
        requirement = Requirement(text)
        there = found.get(canonicalize_name(requirement.name))
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            failures.append(f"{requirement.name} is {there or 'not installed'}, not {text}")
    return failures


def _why(stage: Stage) -> str:
    return stage.error[:300] or stage.status
