"""Verdict files -> the compatibility table: bugs down, version sets across."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from packaging.requirements import Requirement

from metalassay.bugs import verdict
from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity, names, natural
from metalassay.report.model import (
    NO_VALUE,
    BugRow,
    Cell,
    Column,
    CompatTable,
    Evidence,
    counted,
    not_shown,
)
from metalassay.results.verdict_file import BugResult, BugTest, VersionSet, same_set

_STACK = ("accelerate", "torch", "transformers", "python")

_WORDS = {
    verdict.FINE: ("fine", "fine"),
    verdict.BROKEN: ("broken", "broken"),
    verdict.PATCHED: ("broken, patch works", "patched"),
    verdict.NOT_TESTED: ("not tested", "untested"),
}
"""The text and the tone of a cell by verdict; the verdicts in ``verdict.RED`` are spelled out."""

HOW_TO_READ = (
    "A column is one set of versions, installed together into an environment of its own on the machine "
    "named in the caption; a row is one known bug.",
    "fine: our data lists these versions as not affected, and the test of the correct behaviour passed.",
    "broken: the bug is present and fails exactly as known; with “patch works”, the patch in metalassay "
    "fixes it.",
    "RED: the result differs from what our data predicts, and that is news: a patch that fails, a bug that "
    "is gone (fixed upstream?), or a failure that nobody has explained.",
    "not tested, not installable: nothing ran, so neither counts as passed; the reason is given.",
)


def table(sets: Sequence[VersionSet], older: int = 0) -> CompatTable | None:
    """Return the table of all version sets, None without one.

    Of several runs of the same set and versions on one machine, the latest is shown; ``older`` counts
    the runs that are not in ``sets`` any more.
    """
    if not sets:
        return None
    shown = _latest(sets)
    # A set that could not be installed did not run, so it has a platform but no machine.
    machines = names(one.hardware for one in shown if not one.not_installable)
    shown.sort(
        key=lambda s: (natural(s.id), machines.get(identity(s.hardware), ""), s.started, s.file)
    )
    by_set = [{bug.id: bug for bug in one.bugs} for one in shown]
    # The latest file has the current title of a bug.
    latest = sorted(shown, key=lambda s: s.started)
    about = {bug.id: bug for one in latest for bug in one.bugs}
    older += len(sets) - len(shown)
    used = list(machines.values())
    return CompatTable(
        caption=", on ".join(
            ["Known bugs by version set", *([" and ".join(used)] if used else [])]
        ),
        fact_names=(*_STACK, "platform", *(["machine"] if len(used) > 1 else [])),
        columns=tuple(_column(one, machines) for one in shown),
        rows=tuple(
            _row(
                about[bug_id],
                [_cell(s, bugs.get(bug_id)) for s, bugs in zip(shown, by_set, strict=True)],
            )
            for bug_id in dict.fromkeys(bug.id for one in shown for bug in one.bugs)
        ),
        how_to_read=HOW_TO_READ,
        notes=(
            *(
                f"{s.id} is not installable: {s.not_installable}"
                for s in shown
                if s.not_installable
            ),
            *(
                f"{s.id} is not shown because its file contradicts itself: {s.distrusted} ({s.file})"
                for s in shown
                if s.distrusted
            ),
            *(
                [not_shown(older, "older run", " of the same versions on the same machine")]
                if older
                else []
            ),
        ),
    )


def summary(compat: CompatTable) -> str:
    """Count the cells by verdict in one line; sets that did not run are counted as sets."""
    tones = Counter(cell.tone for row in compat.rows for cell in row.cells)
    states = Counter(column.state for column in compat.columns)
    parts = [f"{tones['red']} RED", f"{tones['fine']} fine"]
    if broken := tones["broken"] + tones["patched"]:
        parts.append(f"{broken} broken as known (a patch fixes {tones['patched']})")
    if tones["untested"]:
        parts.append(f"{tones['untested']:,} not tested")
    for state in ("not installable", "unreadable"):
        if states[state]:
            parts.append(f"{counted(states[state], 'set')} {state}")
    sets, bugs = len(compat.columns), len(compat.rows)
    return f"{counted(sets, 'version set')}, {counted(bugs, 'known bug')}: {', '.join(parts)}"


def _latest(sets: Iterable[VersionSet]) -> list[VersionSet]:
    latest: dict[object, VersionSet] = {}
    for one in sorted(sets, key=lambda s: (s.started, s.file)):
        latest[same_set(one)] = one
    return list(latest.values())


def _column(one: VersionSet, machines: Mapping[Hardware, str]) -> Column:
    system = "macOS" if one.hardware.system == "Darwin" else one.hardware.system
    return Column(
        id=one.id,
        state="not installable" if one.not_installable else "unreadable" if one.distrusted else "",
        facts=(
            *(_version(one, package) for package in _STACK),
            f"{system} {one.hardware.machine}",
            *([machines.get(identity(one.hardware), "not run")] if len(machines) > 1 else []),
        ),
        reason=one.reason,
        command=one.command,
        seconds=f"{one.seconds:.1f} s",
        versions=", ".join(f"{name} {version}" for name, version in one.versions.items()),
        file=one.file,
    )


def _version(one: VersionSet, package: str) -> str:
    """Return the version that was installed, or the one that could not be installed."""
    if package in one.versions:
        return one.versions[package]
    if not one.not_installable:
        return "not installed"
    for text in one.requires:
        try:
            wanted = Requirement(text)
        except ValueError:  # InvalidRequirement, or a number with too many digits
            continue
        if wanted.name == package:
            return f"wanted {wanted.specifier or 'any'}"
    return NO_VALUE


def _row(bug: BugResult, cells: Iterable[Cell]) -> BugRow:
    link = bug.link if bug.link.startswith(("https://", "http://")) else ""
    return BugRow(bug.id, bug.title, link, bug.where, bug.fixes, tuple(cells))


def _cell(one: VersionSet, bug: BugResult | None) -> Cell:
    if one.not_installable:
        meaning = "These versions cannot be installed together."
        return Cell("not installable", "absent", meaning, one.not_installable)
    if one.distrusted:
        return Cell("unreadable", "unreadable", "The file contradicts itself.", one.distrusted)
    word = bug.verdict if bug else verdict.NOT_TESTED
    why = " ".join(bug.why.split()) if bug else "not in this run"
    text, tone = _WORDS.get(word, (f"RED: {word}", "red"))
    if word == verdict.NOT_TESTED:
        text = f"{text}: {why or 'no reason recorded'}"
    meaning = f"{verdict.MEANING[word][0].upper()}{verdict.MEANING[word][1:]}."
    return Cell(text, tone, meaning, why, tuple(map(_evidence, bug.tests)) if bug else ())


def _evidence(test: BugTest) -> Evidence:
    return Evidence(
        test=test.test,
        upstream=test.upstream,
        outcome=test.outcome,
        seconds=f"{test.seconds:.2f} s",
        symptom=test.symptom or "",
        text=test.evidence.strip("\n"),
    )
