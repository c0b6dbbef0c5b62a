"""The sentence with which doctor begins: whether an environment can train."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import findings, train_verdict
from metalassay.diagnosis.findings import BUG, MPS, Finding
from metalassay.environment.executed import FULL, Executed

ROW = Executed(("row",), FULL, "Linux")


def finding(
    severity: str = "error", *, entry: str = "", stops: bool = True, **more: str
) -> Finding:
    """Return a finding titled "x fails"."""
    fields = {"id": "x", "kind": BUG, "title": "x fails", **more}
    return Finding(
        severity=severity,
        observed="",
        expected="",
        fix="",
        link="",
        entry=entry,
        stops=stops,
        id=fields["id"],
        kind=fields["kind"],
        title=fields["title"],
    )


def decide(*found: Finding, executed: Executed | None = None, linked: int | None = None) -> str:
    """Return the sentence."""
    return train_verdict.decide(found, executed, linked=linked, judged=["torch"]).says


@pytest.mark.parametrize("entry", findings.EVERYBODY)
def test_what_stops_everybody_is_a_no(entry: str) -> None:
    assert decide(finding(entry=entry)) == "No: x fails"
    two = decide(finding(entry="DPOTrainer"), finding(entry=entry), finding(entry=entry))
    assert two == "No: x fails (and 1 more)"


def test_a_torch_that_cannot_be_imported_is_a_no() -> None:
    broken = finding(id="torch-not-importable", kind=MPS, stops=False, title="No torch")
    assert decide(broken, executed=ROW) == "No: No torch"


def test_what_stops_some_is_an_exception() -> None:
    found = [finding(entry="DPOTrainer"), finding(entry="KTOTrainer"), finding(entry="DPOTrainer")]
    assert decide(*found, executed=ROW) == "Yes, except for: DPOTrainer, KTOTrainer"


def test_an_mps_that_does_not_work_leaves_the_cpu() -> None:
    dead = finding(kind=MPS, stops=False, title="MPS is dead")
    assert decide(dead, executed=ROW) == "Yes, but on the CPU only: MPS is dead"


def test_healthy_is_said_only_of_what_was_executed() -> None:
    assert decide(finding("info"), executed=ROW).startswith("Yes. Healthy: executed on Linux (row")
    for linked, ending in (
        (None, ""),
        (0, "; the link check found nothing"),
    ):
        untested = decide(finding("info"), linked=linked)
        expected = "Probably: no known bug; this combination was not tested together"
        assert untested == expected + ending
    warned = finding("warning", stops=False)
    assert decide(warned, executed=ROW) == "Yes, with care: 1 known bug can be fixed"
    assert decide(warned) == (
        "Probably: 1 known bug can be fixed; this combination was not tested together"
    )
    assert "2 findings" in decide(warned, finding("warning", stops=False, kind=MPS))


def test_without_packages_there_is_nothing_to_judge() -> None:
    verdict = train_verdict.decide([], None, linked=None, judged=[])
    assert verdict.trains == train_verdict.NOTHING


def test_without_torch_nothing_trains() -> None:
    verdict = train_verdict.decide([], None, linked=None, judged=["accelerate"])
    assert (verdict.trains, verdict.says) == (train_verdict.NO, "No: torch is not installed")
