"""Processes of our own never import modules from the folder in which somebody happens to work."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "metalassay"
SHOWN = {
    "environment/managers.py"
}  # a command that people are shown, and that installs into their Python

# Modules of the standard library that our own code, or torch, imports late.
PLANTED = (
    *(
        "json",
        "re",
        "ast",
        "csv",
        "random",
        "statistics",
        "string",
        "tempfile",
        "shutil",
        "logging",
    ),
    *(
        "queue",
        "uuid",
        "platform",
        "inspect",
        "copy",
        "pickle",
        "socket",
        "textwrap",
        "glob",
        "calendar",
    ),
)


def unsafe(source: str) -> list[int]:
    """Return the lines where this Python is started with ``-m`` or ``-c`` and without safe paths."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            continue
        first, *rest = node.elts
        if ast.unparse(first) != "sys.executable":
            continue
        words = {each.value for each in rest if isinstance(each, ast.Constant)}
        if words & {"-m", "-c"} and not words & {"-P", "-I"}:
            found.append(node.lineno)
    return found


def test_the_search_finds_what_it_is_for() -> None:
    assert unsafe('run([sys.executable, "-m", "x"])\nrun([sys.executable, "-P", "-m", "x"])') == [1]
    assert unsafe('command = (sys.executable, "-c", "import json")') == [1]


def test_our_processes_start_with_safe_paths() -> None:
    places = {
        f"{path.relative_to(SOURCES)}:{line}"
        for path in sorted(SOURCES.rglob("*.py"))
        if str(path.relative_to(SOURCES)) not in SHOWN
        for line in unsafe(path.read_text("utf-8"))
    }
    assert places == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "transit", "--curves", "1024", "--steps", "2", "--quiet", "-o", "out"],
        ["loader", "--samples", "64", "--quiet"],
        ["run", "--max-cpu", "90", "--", sys.executable, "-P", "-c", ""],
        ["doctor"],
        ["selftest", "--device", "cpu"],
    ],
    ids=lambda words: words[0],
)
def test_a_module_in_the_current_folder_is_not_imported(
    tmp_path: Path, arguments: list[str]
) -> None:
    for name in PLANTED:
        planted = f"open({str(tmp_path / 'imported')!r}, 'a').write({name + ' '!r})\n"
        (tmp_path / f"{name}.py").write_text(f"{planted}raise SystemExit('planted')\n")
    command = [sys.executable, "-P", "-m", "metalassay", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    imported = tmp_path / "imported"
    assert not imported.exists(), imported.read_text()
    assert done.returncode in (0, 1), done.stderr
