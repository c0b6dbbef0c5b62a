"""The list of executed sets is current, and only sets whose whole suite was as expected are on it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import executed_sets
import pytest

from metalassay.results import load
from metalassay.results.verdict_file import OtherFailure, VersionSet

ROOT = Path(__file__).parents[2]
SETS = {found.id: found for found in load.load([executed_sets.EVIDENCE]).compat}
FULL_ROW, QUICK_ROW, OF_ONE_BUG = "boundary-1.8.0", "accelerate-1.8.0", "edge-trl-0.16.1"


def test_the_file_is_current() -> None:
    assert executed_sets.TARGET.read_text("utf-8") == executed_sets.document(list(SETS.values()))
    tool = ROOT / "tools" / "executed_sets.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True)


def test_a_row_is_full_or_quick_and_one_of_few_bugs_does_not_count() -> None:
    assert executed_sets.scope(SETS[FULL_ROW]) == "full"
    assert executed_sets.scope(SETS[QUICK_ROW]) == "quick"
    assert executed_sets.scope(SETS[OF_ONE_BUG]) is None
    assert executed_sets.scope(SETS["guide-3-today"]) is None  # cannot be installed


def changed(**changes: Any) -> VersionSet:
    """Return the full row with some fields changed."""
    return dataclasses.replace(SETS[FULL_ROW], **changes)


@pytest.mark.parametrize(
    "found",
    [
        changed(other_failures=(OtherFailure("t", "failed", ""),)),
        changed(distrusted="it contradicts itself"),
        changed(selection=dataclasses.replace(SETS[FULL_ROW].selection, partial="interrupted")),
        changed(
            bugs=(dataclasses.replace(SETS[FULL_ROW].bugs[0], verdict="unexplained"),)
        ),
    ],
)  # fmt: skip
def test_a_row_that_is_red_or_incomplete_does_not_count(found: VersionSet) -> None:
    assert executed_sets.scope(found) is None
    assert json.loads(executed_sets.document([found]))["rows"] == []
