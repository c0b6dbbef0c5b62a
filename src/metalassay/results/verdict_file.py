"""The verdict file of one version set. Its layout and its schema are known here and nowhere else.

`pytest compat --verdicts FILE` writes one, and noxfile.py one for a set that cannot be installed.
A change that older readers would misread needs a new number in ``SCHEMA``.

noxfile.py imports this module in nox's own environment, where metalassay is not installed: importing
it takes the standard library and packaging, which nox itself depends on.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from metalassay.bugs import REPORTED_ONLY, Bug, verdict
from metalassay.fields import Field, FieldError
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware, from_dict, identity

NAME = "metalassay.compat"
SCHEMA = f"{NAME}/1"

_EVIDENCE_LINES = 12


@dataclass(frozen=True)
class BugTest:
    """One run of one test of one bug; the fields are those of the file.

    ``symptom`` is None for a control. ``upstream`` is "stock" or "patched". ``affected`` is true
    where the data expects the symptom. ``evidence`` is the end of the traceback, or the reason of a
    skip.
    """

    test: str
    symptom: str | None
    upstream: str
    affected: bool
    outcome: str
    seconds: float
    evidence: str


@dataclass(frozen=True)
class BugResult:
    """What one version set showed of one bug. ``verdict`` is a word of ``metalassay.bugs.verdict``."""

    id: str
    title: str
    link: str
    where: str
    verdict: str
    why: str
    fixes: tuple[str, ...]
    tests: tuple[BugTest, ...]


@dataclass(frozen=True)
class VersionSet:
    """One verdict file: the versions that were installed together, and what each bug did there.

    ``not_installable`` is the resolver's sentence, else None. ``distrusted`` describes where the
    file contradicts itself, else None; a distrusted set proves nothing. ``seconds`` is wall time.
    """

    id: str
    requires: tuple[str, ...]
    reason: str
    command: str
    started: datetime
    seconds: float
    versions: Mapping[str, str] = field(hash=False)
    hardware: Hardware
    not_installable: str | None
    distrusted: str | None
    bugs: tuple[BugResult, ...]
    file: str


def same_set(one: VersionSet) -> tuple[object, ...]:
    """Return what two verdict files must share for the newer one to replace the older one."""
    return one.id, identity(one.hardware), tuple(sorted(one.versions.items()))


def document(
    version_set: Mapping[str, Any],
    *,
    command: str,
    started: datetime,
    seconds: float,
    versions: Mapping[str, str],
    hardware: Mapping[str, object],
    bugs: Iterable[Mapping[str, Any]] = (),
    not_installable: str | None = None,
) -> dict[str, Any]:
    """Lay out a verdict file.

    ``version_set`` is the record of a row (``environment.matrix.Row.record``), ``hardware`` that of
    a machine (``machine.hardware.as_dict``), and ``bugs`` come from ``bug_record``. ``seconds`` is
    wall time.
    """
    return {
        "schema": SCHEMA,
        "set": dict(version_set),
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": dict(hardware),
        "not_installable": not_installable,
        "bugs": [dict(bug) for bug in bugs],
    }


def bug_record(bug: Bug, versions: Mapping[str, str], tests: Sequence[BugTest]) -> dict[str, Any]:
    """Judge one bug by its tests and lay it out for the file."""
    word = _judge(tests)
    skipped = [test for test in tests if test.outcome == "skipped"]
    if word in (verdict.BROKEN, verdict.PATCHED):
        skipped = [
            test for test in skipped if test.affected
        ]  # the verdict is on the other symptoms
    elif word != verdict.NOT_TESTED:
        skipped = []
    skips = dict.fromkeys(test.evidence for test in skipped)
    why = "; ".join(skips)
    return {
        "id": bug.id,
        "title": bug.title,
        "link": bug.link,
        "where": bug.where_text(),
        "affected": bug.hits(versions),
        "provenance": REPORTED_ONLY if bug.reported_only else "run by us",
        "verdict": word,
        "why": f"in part; not tested: {why}" if why and word != verdict.NOT_TESTED else why,
        "fixes": list(bug.advice()),
        "tests": [asdict(test) for test in tests],
    }


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a verdict file completely or not at all."""
    write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_not_installable(
    path: Path, version_set: Mapping[str, Any], *, command: str, why: str
) -> None:
    """Write the verdict file of a set that cannot be installed; ``why`` is the resolver's sentence."""
    system, _, release, _, machine, _ = platform.uname()
    record = document(
        version_set,
        command=command,
        started=datetime.now(UTC),
        seconds=0.0,
        versions={"python": version_set.get("python") or platform.python_version()},
        # Where this runs, psutil may be missing; so the rest of the hardware stays unknown.
        hardware={"system": system, "release": release, "machine": machine},
        not_installable=why,
    )
    write(path, record)


def evidence(traceback: str, home: Path, root: Path) -> str:
    """Return the last lines of a traceback, without colours and the user's folder names."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", traceback).rstrip()
    lines = plain.splitlines()[-_EVIDENCE_LINES:]
    return "\n".join(lines).replace(f"{root}/", "").replace(str(home), "~")


def read(top: Field, file: str) -> VersionSet:
    """Read a parsed verdict file; ``file`` is its name as the report shows it.

    Raises ``FieldError`` for a missing field, a wrong type and a value out of range.
    """
    about = top.get("set")
    bugs = tuple(_bug(bug) for bug in top.get("bugs").each())
    ids = [bug.id for bug in bugs]
    if len(set(ids)) < len(ids):
        raise FieldError("bugs: two entries have the same id")
    not_installable = top.get("not_installable").or_none(Field.name)
    if not_installable and bugs:
        raise FieldError(
            "bugs: not empty, although not_installable says that nothing was installed"
        )
    versions = top.get("versions").texts()
    requires = tuple(requirement.name() for requirement in about.get("requires").each())
    doubts = [
        *_wrong_verdicts(bugs),
        *([] if not_installable else _unmet_requirements(requires, versions)),
    ]
    return VersionSet(
        id=about.get("id").name(),
        requires=requires,
        reason=about.get("reason").text(),
        command=top.get("command").text(),
        started=top.get("started").moment(),
        seconds=top.get("seconds").number(0, 1e9),
        versions=versions,
        hardware=from_dict(top.get("hardware").value),
        not_installable=not_installable,
        distrusted="; ".join(doubts) or None,
        bugs=bugs,
        file=file,
    )


def _bug(bug: Field) -> BugResult:
    return BugResult(
        id=bug.get("id").name(),
        title=bug.get("title").name(),
        link=bug.get("link").text(),
        where=bug.get("where").text(),
        verdict=bug.get("verdict").one_of(verdict.MEANING),
        why=bug.get("why").text(),
        fixes=tuple(fix.text() for fix in bug.get("fixes").each()),
        tests=tuple(_test(test) for test in bug.get("tests").each()),
    )


def _test(test: Field) -> BugTest:
    return BugTest(
        test=test.get("test").name(),
        symptom=test.get("symptom").or_none(Field.text),
        upstream=test.get("upstream").one_of(("stock", "patched")),
        affected=test.get("affected").flag(),
        outcome=test.get("outcome").one_of(("passed", "failed", "skipped", "xfailed", "xpassed")),
        seconds=test.get("seconds").number(0, 1e9),
        evidence=test.get("evidence").text(),
    )


def _judge(tests: Iterable[BugTest]) -> str:
    """Return the verdict that the tests of one bug lead to."""
    return verdict.decide(
        verdict.TestRun(t.upstream, t.affected, t.outcome, control=t.symptom is None) for t in tests
    )


def _wrong_verdicts(bugs: Iterable[BugResult]) -> Iterator[str]:
    """Yield a sentence for each recorded verdict that does not follow from the bug's own tests."""
    for bug in bugs:
        word = _judge(bug.tests)
        if word != bug.verdict:
            yield f'the verdict on {bug.id} is "{bug.verdict}", but its tests lead to "{word}"'


def _unmet_requirements(requires: Iterable[str], versions: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each installed version that is not what the set asks for."""
    for text in requires:
        try:
            wanted = Requirement(text)
        except ValueError:  # InvalidRequirement, or a number with too many digits
            continue  # pip accepts more than names and versions, such as a path
        installed = versions.get(wanted.name)
        if installed is not None and not _satisfies(installed, wanted):
            yield f"it asks for {text}, but {wanted.name} {installed} was installed"


def _satisfies(version: str, wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(version, prereleases=True)
    except ValueError:  # a file may hold anything as a version, even one of 5,000 digits
        return False
