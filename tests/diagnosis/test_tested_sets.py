"""Which sets count as executed: those of the suite first, then those that trained a few steps."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import tested_sets
from metalassay.environment import executed
from metalassay.smoke import recorded


def fresh(*, broken: bool) -> recorded.Recorded:
    return next(each for each in recorded.load() if bool(each.broken) is broken and each.passed)


def test_a_set_of_the_suite_is_preferred() -> None:
    row = executed.load()[0]
    found = tested_sets.find(row.versions)
    assert found is not None
    assert found.scope in (executed.FULL, executed.QUICK)


def test_a_set_that_trained_a_few_steps_counts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executed, "find", lambda installed: None)
    row = fresh(broken=False)
    found = tested_sets.find(row.versions)
    assert found is not None
    assert str(found) == f"executed for a few steps of training on Linux (row {row.row})"


def test_a_step_that_failed_and_a_package_that_was_not_there_speak_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executed, "find", lambda installed: None)
    assert tested_sets.find(fresh(broken=True).versions) is None
    row = next(each for each in recorded.load() if not each.broken and "trl" not in each.versions)
    assert tested_sets.find({**row.versions, "trl": "1.16.0"}) is None
    assert tested_sets.find({**row.versions, "accelerate": "0.1"}) is None
