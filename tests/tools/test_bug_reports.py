"""The number of reports in the bug data is not below what can be counted in this checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from metalassay import bugs

ROOT = Path(__file__).parents[2]
CORPORA = sorted((ROOT / "tests" / "data" / "explain").glob("reports*.jsonl"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """Import the tool, which is no module of the package."""
    spec = importlib.util.spec_from_file_location("bug_reports", ROOT / "tools" / "bug_reports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bug_reports"] = module
    spec.loader.exec_module(module)
    return module


def test_every_bug_has_at_least_the_reports_that_its_row_links_to(tool: ModuleType) -> None:
    links = tool.linked()
    assert set(links) == {bug.id for bug in bugs.load()}
    assert links["accelerate-empty-shard"] == {
        "https://github.com/huggingface/accelerate/issues/601"
    }
    assert [bug.id for bug in bugs.load() if bug.reports < len(links[bug.id])] == []


@pytest.mark.slow
def test_the_collected_reports_are_counted_too(tool: ModuleType) -> None:
    links, reports = tool.linked(), tool.collected(CORPORA)
    counted = {bug.id: len(links[bug.id] | reports.get(bug.id, set())) for bug in bugs.load()}
    # 39 more reports are outside this checkout.
    excess = sum(bug.reports - counted[bug.id] for bug in bugs.load())
    assert [bug.id for bug in bugs.load() if bug.reports < counted[bug.id]] == []
    assert 0 <= excess <= 39
