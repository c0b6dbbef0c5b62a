"""Processes of our own never import modules from the folder in which somebody happens to work."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.environment import interpreters
from metalassay.fix import distributions
from metalassay.linkcheck import places
from metalassay.workers import devices

SOURCES = Path(__file__).parents[2] / "src" / "metalassay"
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


# Programs for Pythons that can be older than the option -P: they drop the current folder themselves.
DROPPED = {
    "environment/interpreters.py": interpreters._ASK,
    "fix/distributions.py": distributions._ASK,
    "linkcheck/places.py": places._ASK,
    "mps/probe/parent.py": (SOURCES / "mps" / "probe" / "child.py").read_text("utf-8"),
    "workers/devices.py": devices._CUDA,
}
SHOWN = {
    "cli/run.py": "the user's program, whose sys.path is its own; the probe before it drops the folder",
    "environment/managers.py": "a command that people are shown and type; ours has safe_path.VARIABLES",
    "fix/resolve.py": "has safe_path.VARIABLES",
}


def unsafe(source: str) -> list[int]:
    """Return the lines where a Python is started with ``-m`` or ``-c`` and without safe paths."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            continue
        first, *rest = node.elts
        if ast.unparse(first) not in ("sys.executable", "python", "manager.python"):
            continue
        words = {each.value for each in rest if isinstance(each, ast.Constant)}
        if words & {"-m", "-c"} and not words & {"-P", "-I"}:
            found.append(node.lineno)
    return found


def test_the_search_finds_what_it_is_for() -> None:
    assert unsafe('run([sys.executable, "-m", "x"])\nrun([sys.executable, "-P", "-m", "x"])') == [1]
    assert unsafe('command = (sys.executable, "-c", "import json")') == [1]
    assert unsafe('[python, "-c", text]') == [1]


def test_our_processes_start_with_safe_paths() -> None:
    found = {
        str(path.relative_to(SOURCES))
        for path in sorted(SOURCES.rglob("*.py"))
        if unsafe(path.read_text("utf-8"))
    }
    assert found == {*DROPPED, *SHOWN}


@pytest.mark.parametrize("place", DROPPED)
def test_programs_for_older_pythons_drop_the_current_folder(place: str) -> None:
    before, _, _ = DROPPED[place].partition(
        "sys.path[:] = [folder for folder in sys.path if folder]"
    )
    assert len(before) < len(DROPPED[place])
    imports = re.findall(r"^\s*(?:import|from) +([\w.]+)", before.replace(";", "\n"), re.MULTILINE)
    assert set(imports) <= {"sys", "__future__"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "transit", "--curves", "1024", "--steps", "2", "--quiet", "-o", "out"],
        ["loader", "--samples", "64", "--quiet"],
        ["run", "--max-cpu", "90", "--", sys.executable, "-P", "-c", ""],
        ["doctor"],
        ["selftest", "--device", "cpu"],
        ["link"],
        ["link", "--env", sys.executable],
        ["fix"],
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
