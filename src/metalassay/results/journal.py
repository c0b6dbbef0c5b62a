"""The journal of a run of one version set: each test as it begins and as it ends.

A test may end the whole process. The journal then says which one it was, and what the tests before it
showed, so that the next process goes on after it. Lines of JSON: a header, then for each test
"begins" and "ends", and "died" where a process ended in between; "complete" at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.fields import FieldError, parse_json
from metalassay.results.verdict_file import BugTest, Origin, OtherFailure


@dataclass
class Journal:
    """What the processes so far left, by the node ids of pytest.

    ``runs`` has the bug of each test and its outcome, ``failures`` those of tests without a bug, and
    ``over`` the tests that need not run again. ``running`` is the test that began and has not ended, ``total`` the
    number of tests of the whole run.
    """

    command: str = ""
    origin: Origin = field(default_factory=Origin)
    runs: list[tuple[str, BugTest]] = field(default_factory=list)
    failures: list[OtherFailure] = field(default_factory=list)
    over: set[str] = field(default_factory=set)
    running: Mapping[str, Any] | None = None
    deaths: int = 0
    complete: bool = False
    total: int | None = None


def start(path: Path, command: str, origin: Origin) -> None:
    """Begin a journal; ``command`` and ``origin`` are what the verdict file will say."""
    files.make_folder(path.parent)
    header = {"command": command, "origin": asdict(origin)}
    path.write_text(json.dumps(header) + "\n", "utf-8")


def collected(path: Path, total: int) -> None:
    """Note how many tests the whole run has."""
    _append(path, {"total": total})


def begins(path: Path, test: str, bug: str | None, about: Mapping[str, Any]) -> None:
    """Note that a test begins; ``about`` has the symptom, the upstream and whether it is affected."""
    _append(path, {"begins": test, "bug": bug, **about})


def ends(
    path: Path,
    test: str,
    bug: str | None,
    runs: Iterable[BugTest],
    failures: Iterable[OtherFailure],
) -> None:
    """Note that a test has ended, with what it showed."""
    _append(
        path,
        {
            "ends": test,
            "bug": bug,
            "runs": [asdict(run) for run in runs],
            "failures": [asdict(failure) for failure in failures],
        },
    )


def died(path: Path, how: str) -> None:
    """Note that the process ended before it was done, and how, as in "signal 6 (SIGABRT)"."""
    _append(path, {"died": how})


def complete(path: Path) -> None:
    """Note that the verdict file has been written."""
    _append(path, {"complete": True})


def read(path: Path) -> Journal:
    """Read a journal; the last line may be cut off, as by a full disk."""
    journal = Journal()
    for line in path.read_text("utf-8").splitlines():
        try:
            entry = parse_json(line)
        except FieldError:
            break
        if not isinstance(entry, dict):
            break
        if "origin" in entry:
            origin = dict(entry["origin"])
            journal.command = entry["command"]
            journal.origin = Origin(**{**origin, "lock": tuple(origin["lock"])})
        elif "begins" in entry:
            journal.running = entry
        elif "ends" in entry:
            journal.runs += [(entry["bug"], BugTest(**run)) for run in entry["runs"]]
            journal.failures += [OtherFailure(**failure) for failure in entry["failures"]]
            journal.over.add(entry["ends"])
            journal.running = None
        elif "died" in entry:
            _count_death(journal, entry["died"])
        elif "total" in entry:
            journal.total = entry["total"]
        elif "complete" in entry:
            journal.complete = True
    return journal


def _count_death(journal: Journal, how: str) -> None:
    journal.deaths += 1
    running, journal.running = journal.running, None
    if running is None:
        return
    test = str(running["begins"])
    journal.over.add(test)
    if running["bug"] is None:
        journal.failures.append(OtherFailure(test, "crashed", how))
        return
    journal.runs.append(
        (
            str(running["bug"]),
            BugTest(
                test=test,
                symptom=running["symptom"],
                upstream=running["upstream"],
                affected=running["affected"],
                outcome="crashed",
                seconds=0.0,
                evidence=how,
            ),
        )
    )


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
