"""docs/upstream/ has a report and a script for every defect that no release has fixed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from metalassay import bugs

FOLDER = Path(__file__).parents[2] / "docs" / "upstream"

NOT_DEFECTS = {
    "training-arguments-removed": "arguments that upstream removed on purpose, after deprecating them",
    "training-arguments-removed-in-5": "arguments that upstream removed on purpose, after deprecating them",
    "trainer-compute-loss-num-items": "Trainer passes a new argument on purpose; overrides must take it",
    "huggingface-hub-names-removed": "upstream removed them on purpose, after deprecating them",
    "transformers-adamw-removed": "upstream removed its class on purpose, after deprecating it",
    "sfttrainer-arguments-removed": "arguments that TRL renamed or moved on purpose, after deprecating them",
    "torch-compile-half-casts": "Inductor keeps float32 inside a kernel on purpose, with a setting to round",
    "trl-ppoconfig-arguments-gone": "TRL replaced that trainer on purpose",
}
"""Bugs without an upper bound that are not reported upstream, and why."""

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
    """Return whether the bug's range has no upper bound, in at least one of its alternatives."""
    return any(
        all(
            part.operator in {">", ">=", "!="} for specifier in where.values() for part in specifier
        )
        for where in bug.where
    )


# Upstream knows the bugs that we have only from its reports, and we have nothing to add.
UNFIXED = {bug.id for bug in bugs.load() if is_open_ended(bug) and not bug.reported_only}


def code_lines(source: str) -> int:
    """Count the lines of code, without blank lines, comments and the module's docstring."""
    first = ast.parse(source).body[0]
    lines = source.splitlines()[first.end_lineno :]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def table() -> list[list[str]]:
    rows = re.findall(r"^\| (.+) \|$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    header, *body = [row.split(" | ") for row in rows if not row.startswith(":--")]
    assert header == ["id", "report", "script", "upstream project", "status"]
    return body


def test_every_unfixed_defect_has_a_report_and_a_script_and_there_are_no_other_files() -> None:
    assert {path.stem for path in REPORTS} == UNFIXED - NOT_DEFECTS.keys()
    assert {path.stem for path in SCRIPTS} == UNFIXED - NOT_DEFECTS.keys()
    extra = {path.name for path in FOLDER.iterdir() if path.suffix not in {".md", ".py"}}
    assert extra <= {"__pycache__"}


def test_an_exception_is_a_bug_that_is_still_unfixed() -> None:
    assert NOT_DEFECTS.keys() <= UNFIXED


def test_the_table_lists_the_files_in_order() -> None:
    expected = [[f"[report]({path.name})", f"[script]({path.stem}.py)"] for path in REPORTS]
    assert [row[1:3] for row in table()] == expected
    assert [row[0] for row in table()] == [path.stem for path in REPORTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_self_contained_and_prints_broken_or_ok(script: Path) -> None:
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
def test_a_report_has_all_sections_and_shows_the_output_of_its_script(report: Path) -> None:
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
def test_links_are_https_or_lead_to_existing_files(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"http://|@@|/(tmp|home|work|Users)/", text)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (FOLDER / target).is_file(), target
