"""Tests mirror the rooms of src/metalassay, so that the tests of a module are found by its path."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "src" / "metalassay", ROOT / "tests"

WITHOUT_A_ROOM = {
    "compat",
    "faults",
    "repository",
    "support",
    "data",
    "tools",
    "rehearsal",
    "workflows",
}
"""Folders of tests/ that test or hold something other than a room of the package."""

MODULES = {
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
}


def has_tests(module: Path) -> bool:
    """Return whether room/module.py has tests in room/test_module.py or room/test_module_TOPIC.py."""
    folder = TESTS / module.parent
    names = (f"test_{module.stem}.py", f"test_{module.stem}_*.py")
    return any(any(folder.glob(name)) for name in names)


def test_every_folder_of_tests_is_a_room_of_the_package() -> None:
    folders = {
        path.parent.relative_to(TESTS)
        for path in TESTS.rglob("test_*.py")
        if path.parent != TESTS and path.parent.relative_to(TESTS).parts[0] not in WITHOUT_A_ROOM
    }
    assert folders
    assert {str(folder) for folder in folders if not (PACKAGE / folder).is_dir()} == set()


def test_every_module_has_a_test_file() -> None:
    assert {str(module) for module in MODULES if not has_tests(module)} == set()


@pytest.mark.parametrize("folder", ["benchmarks", "compat", "tests", "tests_emulated"])
def test_no_test_module_imports_another(folder: str) -> None:
    importing = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(path)
        if any(part.startswith("test_") for part in name.split("."))
    ]
    assert importing == []


def imports(path: Path) -> list[str]:
    """Return the dotted names that a file imports, including those imported from a module."""
    names = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def test_the_benchmarks_bring_the_energy_reader_of_macs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    (brings,) = (Requirement(each) for each in extras["bench"] if each.startswith("metalassay["))
    assert "power" in brings.extras
    (reader,) = map(Requirement, extras["power"])
    mac = {"sys_platform": "darwin", "platform_machine": "arm64", "python_version": "3.12"}
    assert reader.marker is not None
    assert reader.marker.evaluate(mac)
    # It has wheels for these alone.
    others = ({"platform_machine": "x86_64"}, {"sys_platform": "linux"}, {"python_version": "3.14"})
    assert not any(reader.marker.evaluate(mac | change) for change in others)
