"""Verdict files: what is written is read back, and what the reader refuses."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from metalassay.bugs import catalogue, verdict
from metalassay.machine.hardware import Hardware, as_dict
from metalassay.results import load, verdict_file
from metalassay.results.verdict_file import BugTest

BUG = catalogue.parse("""
[[bug]]
id = "lib-crash"
title = "It crashes"
link = "https://example.org/1"
where = [{ lib = "<2" }]
cause = "invented"
fixes = ["upgrade"]
[[bug.symptom]]
id = "crash"
raises = "ValueError"
match = "no"
""")[0]
SET = {"id": "x", "python": None, "requires": ["lib==1.0"], "reason": "here", "tags": ["full"]}
MACHINE = Hardware("Linux", "6.1", "x86_64", *[None] * 10)


def run(outcome: str, upstream: str = "stock", evidence: str = "") -> BugTest:
    return BugTest("compat/test_x.py::test_x", "crash", upstream, True, outcome, 0.5, evidence)


def document(*tests: BugTest, **changes: Any) -> dict[str, Any]:
    versions = {"python": "3.11.7", "lib": "1.0"}
    return verdict_file.document(
        SET,
        command="pytest compat",
        started=datetime(2026, 11, 21, 13, tzinfo=timezone(timedelta(hours=1))),
        seconds=1.5,
        versions=versions,
        hardware=as_dict(MACHINE),
        bugs=[verdict_file.bug_record(BUG, versions, tests)] if tests else (),
        **changes,
    )


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    tests = (run("xfailed", evidence="ValueError: no"), run("passed", "patched"))
    verdict_file.write(tmp_path / "x.json", document(*tests))
    loaded = load.load([tmp_path])
    assert loaded.warnings == ()
    (version_set,) = loaded.compat
    assert version_set.started == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert version_set.versions == {"python": "3.11.7", "lib": "1.0"}
    assert (version_set.id, version_set.requires, version_set.seconds) == ("x", ("lib==1.0",), 1.5)
    assert (version_set.hardware, version_set.distrusted) == (MACHINE, None)
    (bug,) = version_set.bugs
    assert (bug.id, bug.verdict, bug.fixes) == ("lib-crash", verdict.PATCHED, ("upgrade",))
    assert bug.tests == tests


def test_a_file_with_the_layout_of_schema_1() -> None:
    written = document(run("xfailed"))
    assert list(written) == [
        *("schema", "set", "command", "started", "seconds", "versions", "hardware"),
        *("not_installable", "origin", "selection", "bugs", "other_failures"),
    ]
    assert written["schema"] == "metalassay.compat/1"
    assert written["started"] == "2026-11-21T13:00:00+01:00"
    assert list(written["bugs"][0]) == [
        *("id", "title", "link", "where", "affected", "provenance", "verdict", "why", "fixes"),
        "tests",
    ]
    assert written["bugs"][0]["tests"][0] == {
        "test": "compat/test_x.py::test_x",
        "symptom": "crash",
        "upstream": "stock",
        "affected": True,
        "outcome": "xfailed",
        "seconds": 0.5,
        "evidence": "",
    }


def test_origin_selection_and_failures_without_a_bug_are_read_back(tmp_path: Path) -> None:
    origin = verdict_file.Origin("27da535+", "a1b2c3", "CPython 3.11.7", ("lib==1.0",), "k" * 12)
    selection = verdict_file.Selection(("compat", "-x"), 12, "stopped early")
    failure = verdict_file.OtherFailure("compat/test_x.py::test_y", "failed", "AssertionError")
    record = document(run("xfailed"), origin=origin, selection=selection, other_failures=[failure])
    verdict_file.write(tmp_path / "x.json", record)
    (version_set,) = load.load([tmp_path]).compat
    assert (version_set.origin, version_set.selection) == (origin, selection)
    assert version_set.other_failures == (failure,)
    assert version_set.red


def test_a_file_without_an_origin_is_read_as_one_whose_origin_is_unknown(tmp_path: Path) -> None:
    record = document(run("xfailed"))
    for key in ("origin", "selection", "other_failures"):
        del record[key]
    verdict_file.write(tmp_path / "x.json", record)
    (version_set,) = load.load([tmp_path]).compat
    assert version_set.origin == verdict_file.Origin()
    assert not version_set.red


def test_a_crash_is_the_verdict_on_its_bug_alone_with_how_the_process_ended() -> None:
    tests = [run("xfailed"), run("crashed", "patched", "signal 6 (SIGABRT)")]
    record = verdict_file.bug_record(BUG, {"lib": "1.0"}, tests)
    assert (record["verdict"], record["why"]) == (verdict.CRASHED, "signal 6 (SIGABRT)")


def test_a_bug_that_was_not_tested_has_each_reason_once() -> None:
    skips = [run("skipped", evidence=reason) for reason in ("no Mac", "no Metal", "no Mac")]
    record = verdict_file.bug_record(BUG, {"lib": "1.0"}, skips)
    assert (record["verdict"], record["why"]) == (verdict.NOT_TESTED, "no Mac; no Metal")
    tested = verdict_file.bug_record(BUG, {"lib": "1.0"}, [*skips, run("xfailed")])
    assert tested["verdict"] == verdict.BROKEN
    assert tested["why"] == "in part; not tested: no Mac; no Metal"


def test_a_set_that_cannot_be_installed_has_the_resolvers_sentence(tmp_path: Path) -> None:
    path = tmp_path / "compat" / "x.json"
    used = verdict_file.Origin(interpreter="CPython 3.12.4")
    verdict_file.write_not_installable(path, SET, command="nox", why="no lib 1", origin=used)
    assert json.loads(path.read_text("utf-8"))["schema"] == verdict_file.SCHEMA
    loaded = load.load([path])
    assert loaded.warnings == ()
    (version_set,) = loaded.compat
    assert (version_set.not_installable, version_set.bugs) == ("no lib 1", ())
    assert version_set.versions == {"python": "3.12.4"}


def test_evidence_is_the_end_of_a_traceback_without_colours_and_folders() -> None:
    traceback = "\n".join(["line"] * 20) + "\n\x1b[31m/srv/x/a.py\x1b[0m: in /home/jane/b.py\n\n"
    lines = verdict_file.evidence(traceback, Path("/home/jane"), Path("/srv/x")).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "a.py: in ~/b.py"


@pytest.mark.parametrize("root", [Path(sys.prefix).parent, Path(sys.prefix).parent / "x" / "y"])
def test_evidence_does_not_say_where_the_environment_is(root: Path) -> None:
    for prefix in (sys.prefix, os.path.relpath(sys.prefix, root)):
        text = verdict_file.evidence(f"{prefix}/lib/lib.py:7: ValueError", Path("/home/jane"), root)
        assert text == "lib/lib.py:7: ValueError"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"seconds": 9.0, "file": "b.json"}, True),
        ({}, {"hardware": Hardware("Linux", "6.9", "x86_64", *[None] * 10)}, True),
        ({}, {"hardware": Hardware("Linux", "6.1", "aarch64", *[None] * 10)}, False),
        ({}, {"versions": {"lib": "1.1"}}, False),
        ({}, {"id": "y"}, False),
    ],
)
def test_a_newer_file_of_the_same_set_and_machine_replaces_an_older_one(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    base: dict[str, Any] = {
        "id": "x",
        "requires": (),
        "reason": "",
        "command": "",
        "seconds": 1.0,
        "started": datetime(2026, 11, 21, tzinfo=UTC),
        "versions": {"lib": "1.0"},
        "hardware": MACHINE,
        "not_installable": None,
        "distrusted": None,
        "bugs": (),
        "file": "a.json",
    }
    keys = [
        verdict_file.same_set(verdict_file.VersionSet(**{**base, **changes}))
        for changes in (one, other)
    ]
    assert (keys[0] == keys[1]) is same
