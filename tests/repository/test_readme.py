"""The README's tables are what the report makes of the result files that are kept beside it."""

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


def test_the_tables_are_made_from_the_evidence(tables: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert tables.readme(text) == text, "python tools/readme_tables.py"


def test_a_table_that_somebody_touched_up_is_made_anew(tables: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    touched = text.replace("| patched", "| fine   ", 1)
    assert touched != text
    assert tables.readme(touched) == text


def test_the_evidence_names_no_place_of_the_machine_it_is_from(tables: ModuleType) -> None:
    for path in tables.EVIDENCE.rglob("*.json"):
        text = path.read_text("utf-8")
        assert "/home/" not in text, path
        assert "/Users/" not in text, path
        assert "pytest-of-" not in text, path
