"""The verdict file of one version set: what `pytest compat --verdicts FILE` leaves behind.

The format is read by ``metalassay.results.load``; a change that old readers would misread needs a new
number in ``SCHEMA``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metalassay.bugs import REPORTED_ONLY, Bug, verdict
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware, as_dict

SCHEMA = "metalassay.compat/1"

_EVIDENCE_LINES = 12


@dataclass(frozen=True)
class RecordedTest:
    """One run of one test: ``evidence`` is the end of its traceback, or the reason of a skip."""

    test: str
    symptom: str | None
    upstream: str
    affected: bool
    outcome: str
    seconds: float
    evidence: str


def bug_record(
    bug: Bug, versions: Mapping[str, str], tests: Iterable[RecordedTest]
) -> dict[str, Any]:
    """Judge one bug by its tests and lay it out for the file."""
    tests = list(tests)
    word = verdict.decide(
        verdict.TestRun(t.upstream, t.affected, t.outcome, control=t.symptom is None) for t in tests
    )
    skips = dict.fromkeys(t.evidence for t in tests if t.outcome == "skipped")
    return {
        "id": bug.id,
        "title": bug.title,
        "link": bug.link,
        "where": bug.where_text(),
        "affected": bug.hits(versions),
        "provenance": REPORTED_ONLY if bug.reported_only else "run by us",
        "verdict": word,
        "why": "; ".join(skips) if word == verdict.NOT_TESTED else "",
        "fixes": list(bug.advice()),
        "tests": [asdict(test) for test in tests],
    }


def set_record(
    version_set: Mapping[str, Any],
    *,
    command: str,
    started: str,
    seconds: float,
    versions: Mapping[str, str],
    hardware: Hardware,
    bugs: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """Lay out a verdict file. ``started`` is ISO 8601 with its offset; ``seconds`` is wall time."""
    return {
        "schema": SCHEMA,
        "set": dict(version_set),
        "command": command,
        "started": started,
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": as_dict(hardware),
        "not_installable": None,
        "bugs": [dict(bug) for bug in bugs],
    }


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a verdict file whole or not at all."""
    write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def evidence(traceback: str, home: Path, root: Path) -> str:
    """Return the last lines of a traceback, without colours and the user's folder names."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", traceback).rstrip()
    lines = plain.splitlines()[-_EVIDENCE_LINES:]
    return "\n".join(lines).replace(f"{root}/", "").replace(str(home), "~")
