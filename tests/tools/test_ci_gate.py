"""The gate is green only where every job has succeeded."""

from __future__ import annotations

import json

import ci_gate
import pytest


@pytest.mark.parametrize(
    ("results", "may_be_skipped", "code"),
    [
        (["success", "success"], "", 0),
        (["success", "failure"], "", 1),
        (["success", "cancelled"], "a b", 1),
        (["success", "skipped"], "", 1),
        (["success", "skipped"], "a", 1),
        (["success", "skipped"], "a b", 0),
        (["failure", "success"], "a b", 1),
    ],
)
def test_a_job_that_did_not_succeed_stands_in_the_way(
    monkeypatch: pytest.MonkeyPatch, results: list[str], may_be_skipped: str, code: int
) -> None:
    needs = {name: {"result": result} for name, result in zip("ab", results, strict=True)}
    monkeypatch.setenv("NEEDS", json.dumps(needs))
    monkeypatch.setenv("MAY_BE_SKIPPED", may_be_skipped)
    assert ci_gate.main() == code


def test_a_gate_without_a_job_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEEDS", "{}")
    with pytest.raises(SystemExit, match="nothing was tested"):
        ci_gate.main()
