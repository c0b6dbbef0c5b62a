"""Result files of every state that a row of the matrix can be in, made by hand: nothing was run."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay import report
from metalassay.report.model import CompatTable
from metalassay.results import load

DATA = Path(__file__).parents[1] / "data" / "runs"
NEW = "5b1ce00fedcb0123456789abcdef0123456789ab"
DATA_NEW, DATA_OLD = "d00d00d00d00", "0ddba110ddba"
SLOW = "slow: not in this selection"


def _test(
    outcome: str, evidence: str = "", *, symptom: str = "crash", affected: bool = True
) -> Any:
    return {
        "test": "compat/test_invented.py::test_invented",
        "symptom": symptom,
        "upstream": "stock",
        "affected": affected,
        "outcome": outcome,
        "seconds": 0.25 if outcome != "skipped" else 0.0,
        "evidence": evidence,
    }


def _bug(bug_id: str, verdict: str, *tests: Any, why: str = "") -> Any:
    return {
        "id": bug_id,
        "title": f"An invented bug, {bug_id}",
        "link": "https://example.org/1",
        "where": "accelerate <2",
        "verdict": verdict,
        "why": why,
        "fixes": ["upgrade"],
        "tests": list(tests),
    }


FINE = _bug("lib-fine", "fine", _test("passed", affected=False))
BROKEN = _bug("lib-broken", "broken as known", _test("xfailed", "ValueError: no"))
UNTESTED_SLOW = _bug("lib-slow", "not tested", _test("skipped", SLOW), why=SLOW)
IN_PART = _bug(
    "lib-part",
    "broken as known",
    _test("xfailed", "ValueError: no"),
    _test("skipped", SLOW, symptom="hang"),
    why=f"in part; not tested: {SLOW}",
)
CRASHED = _bug(
    "lib-crash",
    "crashed",
    _test("crashed", "signal 6 (SIGABRT)", symptom="abort"),
    why="signal 6 (SIGABRT)",
)
UNEXPLAINED = _bug("lib-fine", "unexplained", _test("failed", "E  oh", affected=False))


def version_set(name: str, day: str, *bugs: Any, **changes: Any) -> dict[str, Any]:
    """Return a verdict file of the set ``name``, recorded on that day at 09:12 UTC."""
    machine = json.loads((DATA / "constructed_compat_fine.json").read_text("utf-8"))["hardware"]
    document = {
        "schema": "metalassay.compat/1",
        "set": row(name),
        "command": f"pytest compat --set {name}",
        "started": f"{day}T09:12:00+00:00",
        "seconds": 12.5,
        "versions": {
            "python": "3.11.7",
            "accelerate": "1.8.0",
            "torch": "2.13.0",
            "transformers": "4.52.4",
        },
        "hardware": machine,
        "not_installable": None,
        "origin": {
            "commit": NEW,
            "data": DATA_NEW,
            "interpreter": "CPython 3.11.7",
            "lock": ["accelerate==1.8.0", "numpy==2.4.6", "torch==2.13.0", "transformers==4.52.4"],
            "key": "c0ffee",
        },
        "selection": {"arguments": [], "deselected": 0, "partial": ""},
        "bugs": copy.deepcopy(list(bugs)),
        "other_failures": [],
    }
    return document | changes


def row(name: str, *requires: str) -> dict[str, Any]:
    """Return the record of a row of the matrix."""
    pinned = ("accelerate==1.8.0", "torch==2.13.0", "transformers==4.52.4")
    return {
        "id": name,
        "python": None,
        "requires": list(requires or pinned),
        "reason": f"invented: {name}",
        "tags": ["full"],
    }


def mark(name: str, started: str, why: str) -> dict[str, Any]:
    """Return the mark of a run that did not finish."""
    return {
        "schema": "metalassay.unfinished/1",
        "set": row(name),
        "started": started,
        "why": why,
        "hardware": {"system": "Linux", "release": "6.12.0", "machine": "x86_64"},
    }


def documents() -> dict[str, dict[str, Any]]:
    """Return files by name, one row of the matrix for each state, and an old file without an origin."""
    partial = {"arguments": ["-k", "fine"], "deselected": 41, "partial": "-k"}
    old = version_set("k-old-format", "2026-11-10", FINE)
    for key in ("origin", "selection", "other_failures"):
        del old[key]
    newest = {
        "python": "3.11.7",
        "accelerate": "1.15.0",
        "torch": "2.15.0",
        "transformers": "5.23.0",
        "tokenizers": "0.23.3",
    }
    no_route = "could not install: no route to host"
    return {
        "a-whole.json": version_set("a-whole", "2026-11-28", FINE, BROKEN, UNTESTED_SLOW, IN_PART),
        "b-last-failed.json": version_set("b-last-failed", "2026-11-20", FINE, BROKEN),
        "b-last-failed.unfinished": mark("b-last-failed", "2026-11-28T10:03:07+00:00", no_route),
        "c-never-finished.unfinished": mark(
            "c-never-finished", "2026-11-28T10:05:00+00:00", "interrupted"
        ),
        "d-partial-beside.json": version_set("d-partial-beside", "2026-11-20", FINE, BROKEN),
        "d-partial-beside.partial": version_set(
            "d-partial-beside", "2026-11-27", UNEXPLAINED, selection=partial
        ),
        "e-only-partial.partial": version_set(
            "e-only-partial", "2026-11-27", FINE, selection=partial
        ),
        "f-old-data.json": version_set(
            "f-old-data",
            "2026-11-19",
            FINE,
            BROKEN,
            origin={
                "commit": "0ddc0de0ddc0de0+",
                "data": DATA_OLD,
                "interpreter": "CPython 3.11.7",
                "lock": [],
                "key": None,
            },
        ),
        "g-crashed.json": version_set("g-crashed", "2026-11-28", FINE, CRASHED),
        "h-newest.json": version_set(
            "h-newest",
            "2026-11-28",
            FINE,
            versions=newest,
            set=row("h-newest", "accelerate", "torch", "transformers", "tokenizers>=0.20"),
            other_failures=[
                {
                    "test": "compat/test_tokenizers.py::test_tokenizers_read_whether_to",
                    "outcome": "failed",
                    "evidence": "E   AssertionError: the sentence is gone",
                },
                {
                    "test": "compat/test_tokenizers.py::test_another",
                    "outcome": "crashed",
                    "evidence": "signal 11 (SIGSEGV)",
                },
            ],
        ),
        "i-old-mark.json": version_set("i-old-mark", "2026-11-28", FINE),
        "i-old-mark.unfinished": mark("i-old-mark", "2026-11-27T08:00:00+00:00", "interrupted"),
        "k-old-format.json": old,
        "l-impossible.json": version_set(
            "l-impossible",
            "2026-11-28",
            not_installable="a conflict",
            versions={"python": "3.11.7"},
        ),
    }


def write(folder: Path, files: Mapping[str, object]) -> Path:
    """Write files by name into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document, indent=1), "utf-8")
    return folder


def written(folder: Path, files: Mapping[str, object]) -> tuple[report.Report, CompatTable]:
    """Return the report of a folder with these files, all of which can be read, and its table."""
    read = load.load([write(folder, files)])
    assert read.warnings == ()
    built = report.build(read)
    assert isinstance(built.compat, CompatTable)
    return built, built.compat
