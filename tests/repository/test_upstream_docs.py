"""docs/upstream/: a report and a script for every defect that no release has repaired."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from metalassay import bugs

FOLDER = Path(__file__).parents[2] / "docs" / "upstream"

NOT_DEFECTS = {
    "training-arguments-removed": "arguments that upstream removed on purpose, after deprecating them",
    "trl-ppoconfig-arguments-gone": "TRL replaced that trainer on purpose",
}
"""Rows without an upper bound that there is nothing to report about, and why."""

SECTIONS = [
    "Versions run",
    "Script",
    "What happens",
    "What was expected",
    "Cause",
    "Proposed change",
    "Related",
]

SCRIPTS = sorted(FOLDER.glob("*.py"))
REPORTS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def is_open_ended(bug: bugs.Bug) -> bool:
    """Say whether some alternative bounds none of its packages from above."""
    return any(
        all(
            part.operator in {">", ">=", "!="} for specifier in where.values() for part in specifier
        )
        for where in bug.where
    )


# What was only reported is known upstream, and nothing of ours can be added to it.
ALIVE = {bug.id for bug in bugs.load() if is_open_ended(bug) and not bug.reported_only}


def code_lines(source: str) -> int:
    """Count the lines that hold code: not blank, no comment, not the module's docstring."""
    first = ast.parse(source).body[0]
    lines = source.splitlines()[first.end_lineno :]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def table() -> list[list[str]]:
    rows = re.findall(r"^\| (.+) \|$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    header, *body = [row.split(" | ") for row in rows if not row.startswith(":--")]
    assert header == ["id", "report", "script", "upstream project", "status"]
    return body


def test_every_defect_without_an_end_has_its_two_files_and_there_are_no_others() -> None:
    assert {path.stem for path in REPORTS} == ALIVE - NOT_DEFECTS.keys()
    assert {path.stem for path in SCRIPTS} == ALIVE - NOT_DEFECTS.keys()
    extra = {path.name for path in FOLDER.iterdir() if path.suffix not in {".md", ".py"}}
    assert extra <= {"__pycache__"}


def test_an_exception_is_a_row_that_is_still_open() -> None:
    assert NOT_DEFECTS.keys() <= ALIVE


def test_the_table_lists_exactly_the_files_in_order() -> None:
    expected = [[f"[report]({path.name})", f"[script]({path.stem}.py)"] for path in REPORTS]
    assert [row[1:3] for row in table()] == expected
    assert [row[0] for row in table()] == [path.stem for path in REPORTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_stands_alone_and_answers_both_ways(script: Path) -> None:
    source = script.read_text("utf-8")
    tree = ast.parse(source)
    compile(tree, script.name, "exec")
    assert ast.get_docstring(tree)
    assert code_lines(source) <= 40
    assert "metalassay" not in source
    assert "BROKEN: " in source
    assert re.search(r"""print\(f?"OK""", source)
    assert "sys.exit(" in source


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.stem)
def test_a_report_has_its_parts_and_shows_what_its_script_printed(report: Path) -> None:
    text = report.read_text("utf-8")
    assert text.startswith("# ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert f"[{report.stem}.py]({report.stem}.py)" in text
    project = {row[0]: row[3] for row in table()}[report.stem]
    assert f"\nProject: {project}\n" in text
    versions = text.split("## Versions run")[1].split("## Script")[0]
    assert "Linux x86_64" in versions
    assert re.search(r"\d+\.\d+\.\d+", versions)
    happens = text.split("## What happens")[1].split("## What was expected")[0]
    assert re.search(r"```\nBROKEN: .+\n```", happens)
    assert "```diff\n" in text.split("## Proposed change")[1]
    related = text.split("## Related")[1]
    assert re.search(r"https://github\.com/[^/]+/[^/]+/(issues|pull)/\d+", related)


@pytest.mark.parametrize("page", [FOLDER / "README.md", *REPORTS], ids=lambda path: path.stem)
def test_links_are_https_and_files_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"http://|@@|/(tmp|home|work|Users)/", text)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (FOLDER / target).is_file(), target
