"""The verdict file of one version set. Its layout and its schema are known here and nowhere else.

`pytest compat --verdicts FILE` writes one, and noxfile.py one for a set that cannot be installed.
A change that older readers would misread needs a new number in ``SCHEMA``.

noxfile.py imports this module in nox's own environment, where metalassay is not installed: importing
it takes the standard library and packaging, which nox itself depends on.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from metalassay import files
from metalassay.bugs import REPORTED_ONLY, Bug, verdict
from metalassay.fields import Field, FieldError, parse_json
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware, from_dict, identity, release

NAME = "metalassay.compat"
SCHEMA = f"{NAME}/1"

OUTCOMES = ("passed", "failed", "skipped", "xfailed", "xpassed", "unseen", "refuted", "crashed")
"""How a test can end: as pytest says, "unseen", which is a pass where the symptom does not show every
time, "refuted", which is a pass where only a report calls the versions affected, or "crashed", which is the end of the process that ran it."""

FAILURES = ("failed", "xpassed", "crashed")
"""The outcomes of a test without a bug that make a row red."""

SLOW = "slow: not in this selection"
"""Why a test that was left out did not run."""

QUICK_MARKS = ("not slow", "not slow or (mps and not long)")
"""What ``-m`` selects in a run of an environment as it is that counts as whole; the second is for a Mac."""

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
    """What one version set showed of one bug. ``verdict`` is a word of ``metalassay.bugs.verdict``.

    ``provenance`` is ``REPORTED_ONLY`` where the data rested on reports alone when it was recorded.
    """

    id: str
    title: str
    link: str
    where: str
    verdict: str
    why: str
    fixes: tuple[str, ...]
    tests: tuple[BugTest, ...]
    provenance: str = ""


@dataclass(frozen=True)
class OtherFailure:
    """A test without a mark of a bug that failed, or that ended the process."""

    test: str
    outcome: str
    evidence: str


@dataclass(frozen=True)
class Origin:
    """What a verdict file was made from; None and empty where that was not recorded.

    ``commit`` is metalassay's, with a "+" if files were changed since. ``data`` is the revision of the
    bug data (``bugs.revision``). ``interpreter`` is such as "CPython 3.11.7", ``lock`` every package
    with its version, as the resolver chose them. ``key`` is the hash of all inputs
    (``matrix.inputs``): a row with the same key need not run again.
    """

    commit: str | None = None
    data: str | None = None
    interpreter: str | None = None
    lock: tuple[str, ...] = ()
    key: str | None = None


@dataclass(frozen=True)
class Selection:
    """Which tests of the suite ran.

    ``arguments`` are those of pytest, ``deselected`` counts the tests that they left out, and
    ``partial`` says why this is less than the whole run of the row; it is "" for the whole one.
    """

    arguments: tuple[str, ...] = ()
    deselected: int = 0
    partial: str = ""


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
    other_failures: tuple[OtherFailure, ...] = ()
    origin: Origin = Origin()
    selection: Selection = Selection()

    @property
    def red(self) -> bool:
        """Whether a verdict differs from the data, or a test without a bug failed."""
        return bool(self.other_failures) or any(bug.verdict in verdict.RED for bug in self.bugs)


def same_set(one: VersionSet) -> tuple[object, ...]:
    """Return what the runs of one set have in common: its name, the machine and the versions."""
    return one.id, identity(one.hardware), tuple(sorted(one.versions.items()))


def run_key(one: VersionSet) -> tuple[object, ...]:
    """Return what two runs must share for the newer to replace the older: a partial one never does."""
    return *same_set(one), bool(one.selection.partial)


def document(
    version_set: Mapping[str, Any],
    *,
    command: str,
    started: datetime,
    seconds: float,
    versions: Mapping[str, str],
    hardware: Mapping[str, object],
    bugs: Iterable[Mapping[str, Any]] = (),
    other_failures: Iterable[OtherFailure] = (),
    not_installable: str | None = None,
    origin: Origin | None = None,
    selection: Selection | None = None,
) -> dict[str, Any]:
    """Lay out a verdict file.

    ``version_set`` is the record of a row (``matrix.matrix_file.Row.record``), ``hardware`` that of a
    machine (``machine.hardware.as_dict``), and ``bugs`` come from ``bug_record``. ``seconds`` is
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
        "origin": asdict(origin or Origin()),
        "selection": asdict(selection or Selection()),
        "bugs": [dict(bug) for bug in bugs],
        "other_failures": [asdict(failure) for failure in other_failures],
    }


def bug_record(bug: Bug, versions: Mapping[str, str], tests: Sequence[BugTest]) -> dict[str, Any]:
    """Judge one bug by its tests and lay it out for the file."""
    word = _judge(tests)
    if word == verdict.CRASHED:
        ends = dict.fromkeys(test.evidence for test in tests if test.outcome == "crashed")
        return _record(bug, versions, tests, word, "; ".join(ends))
    skipped = [test for test in tests if test.outcome == "skipped"]
    if word in (verdict.BROKEN, verdict.PATCHED):
        skipped = [
            test for test in skipped if test.affected
        ]  # the verdict is on the other symptoms
    elif word != verdict.NOT_TESTED:
        skipped = []
    skips = dict.fromkeys(test.evidence for test in skipped)
    why = "; ".join(skips)
    if why and word != verdict.NOT_TESTED:
        why = f"in part; not tested: {why}"
    return _record(bug, versions, tests, word, why)


def _record(
    bug: Bug, versions: Mapping[str, str], tests: Sequence[BugTest], word: str, why: str
) -> dict[str, Any]:
    return {
        "id": bug.id,
        "title": bug.title,
        "link": bug.link,
        "where": bug.where_text(),
        "affected": bug.hits(versions),
        "provenance": REPORTED_ONLY if bug.reported_only else "run by us",
        "verdict": word,
        "why": why,
        "fixes": list(bug.advice()),
        "tests": [asdict(test) for test in tests],
    }


def partial_of(target: Path) -> Path:
    """Return where a run of less than the whole goes, beside the file of the whole one."""
    if target.suffix == ".json":
        return target.with_suffix(".partial")
    return target.with_name(
        f"{target.name}.partial"
    )  # "torch-2.13.0" and "torch-2.13.1" stay apart


def settled(bugs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the ids of bugs that only reports knew and that this run decided, by "as reported" or not.

    ``bugs`` are records from ``bug_record``, or those in a file.
    """
    words = {verdict.BROKEN: "as reported", verdict.NOT_AS_REPORTED: "not as reported"}
    found: dict[str, list[str]] = {}
    for bug in bugs:
        if bug["provenance"] == REPORTED_ONLY and bug["verdict"] in words:
            found.setdefault(words[bug["verdict"]], []).append(bug["id"])
    return found


def settled_line(decided: Mapping[str, Sequence[str]]) -> str:
    """Return what ``settled`` found as a sentence; "" if that is nothing."""
    number = sum(map(len, decided.values()))
    if not number:
        return ""
    parts = [f"{len(ids)} {word} ({', '.join(ids)})" for word, ids in sorted(decided.items())]
    return (
        f"this machine has settled {number} open question{'' if number == 1 else 's'} that only"
        f" reports knew: {'; '.join(parts)}"
    )


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a verdict file completely or not at all."""
    write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_not_installable(
    path: Path,
    version_set: Mapping[str, Any],
    *,
    command: str,
    why: str,
    origin: Origin | None = None,
) -> None:
    """Write the verdict file of a set that cannot be installed; ``why`` is the resolver's sentence."""
    system, machine = platform.system(), platform.machine()
    record = document(
        version_set,
        command=command,
        started=datetime.now(UTC),
        seconds=0.0,
        versions={
            "python": ((origin and origin.interpreter) or "").rpartition(" ")[2]
            or platform.python_version()
        },
        # Where this runs, psutil may be missing; so the rest of the hardware stays unknown.
        hardware={"system": system, "release": release(), "machine": machine},
        not_installable=why,
        origin=origin,
    )
    write(path, record)


def evidence(traceback: str, home: Path, root: Path) -> str:
    """Return the last lines of a traceback without colours, and without what differs between runs.

    That is the user's folder names, those of the environment and of temporary files, and addresses.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", traceback).rstrip()
    text = "\n".join(plain.splitlines()[-_EVIDENCE_LINES:])
    # pytest shows a path from the folder that it runs in where that is shorter.
    for folder in (sys.prefix, str(root), os.path.relpath(sys.prefix, root)):
        text = text.replace(f"{folder}/", "")
    text = re.sub(r"[^\s'\"]*/pytest-of-[^\s/]+/pytest-\d+/", "TMP/", text)
    return re.sub(r"\b0x[0-9a-f]{6,}", "0x…", text).replace(str(home), "~")


def load(path: Path) -> VersionSet:
    """Read one verdict file.

    Raises ``OSError`` as the file system does, and ``ValueError`` for a file that is not one of ours.
    """
    top = Field(parse_json(files.content(path)))
    if top.get("schema").value != SCHEMA:
        raise ValueError(f"{path} is not a verdict file of this version")
    return read(top, path.name)


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
        other_failures=tuple(
            map(_other_failure, top.find("other_failures").or_none(Field.each) or ())
        ),
        origin=top.find("origin").or_none(_origin) or Origin(),
        selection=top.find("selection").or_none(_selection) or Selection(),
    )


def _other_failure(failure: Field) -> OtherFailure:
    return OtherFailure(
        test=failure.get("test").name(),
        outcome=failure.get("outcome").one_of(FAILURES),
        evidence=failure.get("evidence").text(),
    )


def _origin(origin: Field) -> Origin:
    return Origin(
        commit=origin.get("commit").or_none(Field.name),
        data=origin.get("data").or_none(Field.name),
        interpreter=origin.get("interpreter").or_none(Field.name),
        lock=tuple(pin.name() for pin in origin.get("lock").each()),
        key=origin.get("key").or_none(Field.name),
    )


def _selection(selection: Field) -> Selection:
    return Selection(
        arguments=tuple(argument.text() for argument in selection.get("arguments").each()),
        deselected=int(selection.get("deselected").number(0, 1e9)),
        partial=selection.get("partial").text(),
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
        provenance=bug.find("provenance").or_none(Field.text) or "",
    )


def _test(test: Field) -> BugTest:
    return BugTest(
        test=test.get("test").name(),
        symptom=test.get("symptom").or_none(Field.text),
        upstream=test.get("upstream").one_of(("stock", "patched")),
        affected=test.get("affected").flag(),
        outcome=test.get("outcome").one_of(OUTCOMES),
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
