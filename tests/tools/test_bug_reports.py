"""The number of reports in the bug data is not below what can be counted in this checkout."""

from __future__ import annotations

from pathlib import Path

import bug_reports
import pytest

from metalassay import bugs

ROOT = Path(__file__).parents[2]
CORPORA = sorted((ROOT / "tests" / "data" / "explain").glob("reports*.jsonl"))


def test_every_bug_has_at_least_the_reports_that_its_row_links_to() -> None:
    links = bug_reports.linked()
    assert set(links) == {bug.id for bug in bugs.load()}
    assert links["accelerate-empty-shard"] == {
        "https://github.com/huggingface/accelerate/issues/601"
    }
    assert [bug.id for bug in bugs.load() if bug.reports < len(links[bug.id])] == []


@pytest.mark.slow
def test_the_collected_reports_are_counted_too() -> None:
    links, reports = bug_reports.linked(), bug_reports.collected(CORPORA)
    counted = {bug.id: len(links[bug.id] | reports.get(bug.id, set())) for bug in bugs.load()}
    # 39 more reports are outside this checkout.
    excess = sum(bug.reports - counted[bug.id] for bug in bugs.load())
    assert [bug.id for bug in bugs.load() if bug.reports < counted[bug.id]] == []
    assert 0 <= excess <= 39
