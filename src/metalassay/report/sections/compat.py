"""Verdict files -> the compatibility table: bugs down, version sets across."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from metalassay.bugs import verdict
from metalassay.fields import one_line
from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity, names, natural
from metalassay.report.model import (
    NO_VALUE,
    SLOW,
    BugRow,
    Cell,
    Column,
    CompatTable,
    Evidence,
    counted,
    not_shown,
)
from metalassay.report.sections import compat_notes, compat_origin
from metalassay.report.sections.compat_runs import Shown
from metalassay.results.verdict_file import BugResult, BugTest, OtherFailure

_STACK = ("accelerate", "torch", "transformers", "python")
OTHERS = "tests without a known bug"

_WORDS = {
    verdict.FINE: ("fine", "fine"),
    verdict.BROKEN: ("broken", "broken"),
    verdict.PATCHED: ("broken, patch works", "patched"),
    verdict.NOT_TESTED: ("not tested", "untested"),
    verdict.NOT_SEEN: ("not seen", "untested"),
    verdict.NOT_AS_REPORTED: ("not as reported", "fine"),
}
"""The text and the tone of a cell by verdict; the verdicts in ``verdict.RED`` are spelled out."""

HOW_TO_READ = (
    "A column is one set of versions, installed together into an environment of its own on the machine "
    "named in the caption; a row is one known bug. Its head says when it was recorded, and with which "
    "commit of metalassay.",
    "fine: our data lists these versions as not affected, and the test of the correct behaviour passed.",
    "broken: the bug is present and fails exactly as known; with “patch works”, the patch in metalassay "
    "fixes it; with “partial”, some of its symptoms were not tested.",
    "RED: the result differs from what our data predicts, and that is news: a patch that fails, a bug that "
    "is gone (fixed upstream?), a test that ends the process (crashed), or a failure that nobody has "
    "explained. Tests that are about no known bug have a row of their own where one of them fails.",
    "not as reported: only a report calls these versions affected, and here the test of the correct "
    "behaviour passed: a finding, and not a failure. not seen: the symptom does not show every time, and "
    "did not show here.",
    "not tested, not installable, not finished: nothing ran, so neither counts as passed; the reason is "
    "given. “slow” marks bugs that affect these versions, and whose tests were left out because they are "
    "slow.",
)


def table(shown: Sequence[Shown], older: int = 0) -> CompatTable | None:
    """Return the table of the columns, None without one; ``older`` counts the runs that have none."""
    if not shown:
        return None
    # A set that could not be installed did not run, so it has a platform but no machine.
    machines = names(one.run.hardware for one in shown if one.run and not one.run.not_installable)
    shown = sorted(
        shown,
        key=lambda s: (natural(s.id), _machine(s, machines, ""), s.started, s.file),
    )
    used = list(machines.values())
    several = len(used) > 1
    revisions = compat_origin.revisions(shown)
    facts = [
        *compat_origin.versions(shown, _STACK),
        ("platform", [_platform(one.hardware) for one in shown]),
        *([("machine", [_machine(one, machines, "not run") for one in shown])] if several else []),
        *compat_origin.facts(shown, revisions),
    ]
    labels = [
        f"{one.id} on {_machine(one, machines, 'no machine')}" if several else one.id
        for one in shown
    ]
    return CompatTable(
        caption=", on ".join(
            ["Known bugs by version set", *([" and ".join(used)] if used else [])]
        ),
        fact_names=tuple(name for name, _ in facts),
        columns=tuple(
            _column(one, tuple(values[at] for _, values in facts)) for at, one in enumerate(shown)
        ),
        rows=(*_bugs(shown), *_others(shown)),
        how_to_read=HOW_TO_READ,
        notes=(
            *compat_notes.without_verdicts(shown, labels),
            *(
                [not_shown(older, "older run", " of the same versions on the same machine")]
                if older
                else []
            ),
        ),
        alerts=(
            *compat_notes.not_whole(shown, labels),
            *compat_origin.other_data(shown, labels, revisions),
        ),
        remarks=(*compat_notes.remarks(shown), *compat_origin.remarks(shown, revisions)),
    )


def summary(compat: CompatTable) -> str:
    """Count the cells by verdict in one line; sets that did not run are counted as sets."""
    tones = compat.counts()
    states = Counter(column.state for column in compat.columns)
    parts = [f"{tones['red']} RED"]
    if failed := compat.failed_others():
        parts[0] += f" (with {counted(failed, 'failed test')} without a known bug)"
    parts.append(f"{tones['fine']} fine")
    if broken := tones["broken"] + tones["patched"]:
        parts.append(f"{broken} broken as known (a patch fixes {tones['patched']})")
    if tones["untested"]:
        parts.append(f"{tones['untested']:,} not tested")
    if tones["slow"]:
        parts.append(f"{tones['slow']:,} {SLOW}")
    for state in ("not installable", "unreadable", "not finished"):
        if states[state]:
            parts.append(f"{counted(states[state], 'set')} {state}")
    sets, bugs = counted(len(compat.columns), "version set"), counted(compat.bugs, "known bug")
    return f"{sets}, {bugs}: {', '.join([*parts, *compat.remarks])}"


def _machine(one: Shown, machines: Mapping[Hardware, str], otherwise: str) -> str:
    return machines.get(identity(one.run.hardware), otherwise) if one.run else otherwise


def _platform(hardware: Hardware | None) -> str:
    if hardware is None:
        return NO_VALUE
    system = "macOS" if hardware.system == "Darwin" else hardware.system
    return f"{system} {hardware.machine}"


def _column(one: Shown, facts: tuple[str, ...]) -> Column:
    mark = compat_notes.mark(one)
    run = one.run
    if run is None:
        reason = one.unfinished.reason if one.unfinished else ""
        command = compat_notes.command(one)
        return Column(one.id, "not finished", facts, reason, command, "", "", one.file, mark)
    return Column(
        id=run.id,
        state="not installable" if run.not_installable else "unreadable" if run.distrusted else "",
        facts=facts,
        reason=run.reason,
        command=run.command,
        seconds=f"{run.seconds:.1f} s",
        versions=", ".join(f"{name} {version}" for name, version in run.versions.items()),
        file=run.file,
        mark=mark,
        recorded=compat_origin.recorded(run),
        selection=compat_notes.selection(run),
        lock=", ".join(run.origin.lock),
    )


def _bugs(shown: Sequence[Shown]) -> Iterable[BugRow]:
    by_set = [{bug.id: bug for bug in one.run.bugs} if one.run else {} for one in shown]
    # The latest file has the current title of a bug.
    latest = sorted((one for one in shown if one.run), key=lambda one: one.started)
    about = {bug.id: bug for one in latest if one.run for bug in one.run.bugs}
    for bug_id in dict.fromkeys(bug_id for bugs in by_set for bug_id in bugs):
        bug = about[bug_id]
        link = bug.link if bug.link.startswith(("https://", "http://")) else ""
        cells = (
            _unjudged(one) or _cell(bugs.get(bug_id))
            for one, bugs in zip(shown, by_set, strict=True)
        )
        yield BugRow(bug.id, bug.title, link, bug.where, bug.fixes, tuple(cells))


def _others(shown: Sequence[Shown]) -> Iterable[BugRow]:
    """Yield the row of the tests that are about no known bug, if one of them failed anywhere."""
    if any(one.judged and one.judged.other_failures for one in shown):
        cells = tuple(
            _unjudged(one) or _other_cell(one.run.other_failures if one.run else ())
            for one in shown
        )
        title = "Such a test should pass everywhere; what fails here is not in our data."
        yield BugRow(OTHERS, title, "", "", (), cells, known=False)


def _unjudged(one: Shown) -> Cell | None:
    """Return the cell of a column without verdicts, None for the others."""
    run = one.run
    if run is None:
        why = one.unfinished.why if one.unfinished else ""
        return Cell("not finished", "unfinished", "The run of these versions did not finish.", why)
    if run.not_installable:
        meaning = "These versions cannot be installed together."
        return Cell("not installable", "absent", meaning, run.not_installable)
    if run.distrusted:
        return Cell("unreadable", "unreadable", "The file contradicts itself.", run.distrusted)
    return None


def _cell(bug: BugResult | None) -> Cell:
    word = bug.verdict if bug else verdict.NOT_TESTED
    why = one_line(bug.why) if bug else "not in this run"
    text, tone = _WORDS.get(word, (f"RED: {word}", "red"))
    if word == verdict.NOT_TESTED:
        slow = why.startswith("slow")
        text = SLOW if slow else f"{text}: {why or 'no reason recorded'}"
    elif word == verdict.CRASHED:
        how = re.search(r"\b(?:signal|exit code) -?\d+", why)
        text += f" ({how[0]})" if how else ""
    elif why.startswith("in part"):
        text += " (partial)"
    meaning = f"{verdict.MEANING[word][0].upper()}{verdict.MEANING[word][1:]}."
    return Cell(text, tone, meaning, why, tuple(map(_evidence, bug.tests)) if bug else ())


def _other_cell(failures: Sequence[OtherFailure]) -> Cell:
    if not failures:
        return Cell(NO_VALUE, "clear", "No test without a known bug failed.")
    ends = Counter(failure.outcome for failure in failures)
    return Cell(
        f"RED: {', '.join(f'{number} {outcome}' for outcome, number in ends.items())}",
        "red",
        "Tests that are about no known bug failed.",
        ", ".join(failure.test for failure in failures),
        tuple(
            Evidence(one.test, "stock", one.outcome, "", "", one.evidence.strip("\n"))
            for one in failures
        ),
    )


def _evidence(test: BugTest) -> Evidence:
    return Evidence(
        test=test.test,
        upstream=test.upstream,
        outcome=test.outcome,
        seconds=f"{test.seconds:.2f} s",
        symptom=test.symptom or "",
        text=test.evidence.strip("\n"),
    )
