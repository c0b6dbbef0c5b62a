"""The data about bugs are complete, and each row has a test in compat/."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

from metalassay import bugs

ROOT = Path(__file__).parents[2]
ALL = bugs.load()


def bug_marks() -> set[tuple[str, str | None]]:
    """Collect (bug id, symptom) of every ``pytest.mark.bug`` in compat/, without importing it."""
    found: set[tuple[str, str | None]] = set()
    for path in (ROOT / "compat").glob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.bug":
                first = node.args[0]
                bug = names[first.id] if isinstance(first, ast.Name) else ast.literal_eval(first)
                assert isinstance(bug, str)
                keywords = {each.arg: ast.literal_eval(each.value) for each in node.keywords}
                found.add((bug, keywords.get("symptom")))
    return found


def test_every_symptom_of_every_bug_has_a_test() -> None:
    data = {(bug.id, symptom.id) for bug in ALL for symptom in bug.symptoms}
    assert data == {mark for mark in bug_marks() if mark[1] is not None}


def test_no_test_names_an_unknown_bug() -> None:
    assert {bug for bug, _ in bug_marks()} == {bug.id for bug in ALL}


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.id)
def test_every_row_has_a_range_a_cause_and_a_fix(bug: bugs.Bug) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bug.id)
    assert bug.link.startswith("https://")
    assert bug.cause
    assert all(str(fix) for fix in bug.fixes)
    assert bug.fixes
    # Otherwise the fix plan, doctor and explain would not see the change of versions.
    assert not any("pip install" in fix.text for fix in bug.fixes)
    assert not any(text.startswith("not a fix") for text in (*bug.not_fixes, *map(str, bug.fixes)))
    assert bug.symptoms
    assert bug.packages


def test_every_pattern_and_requirement_is_valid() -> None:
    """`load` does not look at them, because that takes most of its time."""
    folder = ROOT / "src" / "metalassay" / "bugs" / "data"
    parsed = [bug for file in sorted(folder.glob("*.toml")) for bug in bugs.parse(file.read_text())]
    assert tuple(parsed) == ALL


def test_every_row_says_where_one_meets_it() -> None:
    assert [bug.id for bug in ALL if not bug.entry] == []
    assert all(len(bug.entry) <= 45 for bug in ALL)  # doctor prints it beside the title


def test_only_bugs_of_mps_need_it() -> None:
    """The file mps.toml is about nothing else."""
    needing = {bug.id for bug in ALL if bug.needs == bugs.MPS}
    about = {bug.id for bug in ALL if bug.id.startswith("mps-") or "macos" in bug.packages}
    assert about <= needing
    assert all("mps" in f"{bug.id} {bug.title}".lower() for bug in ALL if bug.id in needing - about)


def test_what_stops_nearly_everybody_can_be_fixed_by_changing_a_version() -> None:
    stopping = [bug for bug in ALL if bug.stops]
    assert len(stopping) > 10
    assert [bug.id for bug in stopping if not any(fix.install for fix in bug.fixes)] == []
    # No release of today may be called unusable for everybody.
    assert [
        bug.id for bug in stopping if len(bug.packages) == 1 and ">=" in bug.where_text()[-9:]
    ] == []


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.id)
def test_a_named_patch_exists_and_links_upstream_on_its_first_line(bug: bugs.Bug) -> None:
    if bug.patch is None:
        return
    module = importlib.import_module(f"metalassay.patches.{bug.patch}")
    assert callable(module.patch)
    assert module.__doc__ is not None
    assert "https://" in module.__doc__.splitlines()[0]


def test_the_range_of_a_symptom_lies_inside_that_of_its_bug() -> None:
    releases = ["0.10.0", "0.11.0", "0.16.0", "0.17.0", "1.8.1", "1.9.0.dev0", "1.9.0", "1.15.0"]
    for bug in ALL:
        for symptom in bug.symptoms:
            for release in releases:
                versions = dict.fromkeys(bug.packages, release)
                assert bug.hits(versions) or not bug.hits(versions, symptom.id)


def test_no_record_of_the_evidence_is_both_affected_and_fine() -> None:
    files = sorted((ROOT / "docs" / "evidence" / "compat").glob("*.json"))
    assert files
    both = [
        f"{path.name}: {bug['id']}"
        for path in files
        for bug in json.loads(path.read_text("utf-8"))["bugs"]
        if bug["affected"] and bug["verdict"] == "fine"
    ]
    assert both == []
