"""Who may import whom: the reading side and the measuring side meet only in files under reports/."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "metalassay"
HEAVY = ("torch", "accelerate", "transformers", "trl", "datasets", "numpy", "pytest")

# Measuring: these import torch or the libraries under test. Everything else reads.
MEASURING = {
    "compare_child",
    "claim_arms",
    "counting",
    "device",
    "guard",
    "loading",
    "models",
    "parity",
    "patches",
    "preparation",
    "ranks",
    "roofline",
    "selftest",
    "tiny_trainer",
    "training",
    "identity",
    "workloads",
}
# Imports pytest, and only conftest files import it.
PLUGIN = {"pytest_recorder"}
# Neither side's own: both use them.
SHARED = {
    "allocator",
    "errors",
    "files",
    "layout",
    "versions",
    "bugs",
    "mps",
    "physics",
    "power",
    "steady",
    "timing",
}
# They run in a child process, beside the user's torch; or plug into the user's pytest.
GUESTS = {
    PACKAGE / "mps" / name
    for name in (
        "probe_child.py",
        "preflight_child.py",
        "tracing.py",
        "pytest_preflight.py",
        "pytest_emulator.py",
    )
} | set((PACKAGE / "mps" / "emulator").glob("*.py"))


def room(path: Path) -> str:
    """Return the top-level module or package below metalassay that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("metalassay")
        ):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "metalassay" and len(parts) > 1}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_neither_side_imports_the_other(path: Path) -> None:
    here, others = room(path), imported_rooms(path)
    if here in MEASURING:
        assert others <= MEASURING | SHARED | {"hardware"}
    else:
        assert not others & MEASURING
    if here not in PLUGIN:
        assert not others & PLUGIN
    if not here.startswith("cli") and here != "__main__":
        assert not {each for each in others if each.startswith("cli")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_reading_side_names_no_heavy_library(path: Path) -> None:
    if room(path) in MEASURING | PLUGIN or path in GUESTS:
        return
    tree = ast.parse(path.read_text("utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not names & set(HEAVY)


def test_models_import_torch_and_nothing_of_ours() -> None:
    for path in (PACKAGE / "models").glob("*.py"):
        assert imported_rooms(path) == set()


def test_reading_everything_loads_no_heavy_library() -> None:
    rooms = sorted({room(path) for path in FILES} - MEASURING - PLUGIN - {"__init__", "__main__"})
    mps = set((PACKAGE / "mps").glob("*.py")) - GUESTS
    rooms += [f"mps.{path.stem}" for path in sorted(mps)]
    code = (
        f"import importlib, sys\nfor room in {rooms}: importlib.import_module('metalassay.' + room)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
