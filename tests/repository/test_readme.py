"""The README's tables are generated from the result files in docs/evidence/."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools/readme_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_generated_from_the_evidence(tables: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert tables.readme(text) == text, "python tools/readme_tables.py"


def test_a_table_that_was_edited_is_generated_again(tables: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    edited = text.replace("| patched", "| fine   ", 1)
    assert edited != text
    assert tables.readme(edited) == text


def test_the_evidence_contains_no_path_of_the_machine_that_recorded_it(tables: ModuleType) -> None:
    for path in tables.EVIDENCE.rglob("*.json"):
        text = path.read_text("utf-8")
        assert "/home/" not in text, path
        assert "/Users/" not in text, path
        assert "pytest-of-" not in text, path
