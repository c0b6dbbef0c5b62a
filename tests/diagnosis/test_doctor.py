"""A diagnosis as a whole: health, order, and what is ignored."""

from __future__ import annotations

import pytest
from diagnosed import GUIDE, HEALTHY, by_id

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text
from metalassay.errors import UserError


def test_an_environment_is_healthy_if_no_version_fixes_its_bugs() -> None:
    diagnosis = doctor.diagnose(HEALTHY)
    assert "accelerate-empty-dispatcher" in by_id(diagnosis)
    assert {finding.severity for finding in diagnosis.findings} == {"info"}
    assert {finding.fix for finding in diagnosis.findings} == {""}
    assert diagnosis.healthy
    assert "Healthy" in doctor_text.as_text(diagnosis, "a Mac")


def test_a_fixed_version_has_no_finding() -> None:
    assert "accelerate-empty-shard" not in by_id(doctor.diagnose({"accelerate": "1.9.0"}))
    nothing = doctor.diagnose(
        {"python": "3.11.7", "macos": "15.1", "apple-silicon": "4", "setuptools": "84"}
    )
    assert nothing.findings == ()
    assert "No package with known bugs" in doctor_text.as_text(nothing, "a Mac")


def test_the_worst_comes_first() -> None:
    order = [finding.severity for finding in doctor.diagnose(GUIDE).findings]
    assert order == sorted(order, key=["error", "warning", "info"].index)


def test_ignored_ids_are_neither_findings_nor_in_the_plan() -> None:
    ignored = {bug.id for bug in bugs.load()} - {"accelerate-empty-shard"}
    diagnosis = doctor.diagnose({"accelerate": "1.1.1"}, ignored)
    assert list(by_id(diagnosis)) == ["accelerate-empty-shard"]
    assert diagnosis.plan.requirements == ("accelerate~=1.9.0",)


def test_ids_of_variables_and_mps_can_be_ignored_and_unknown_ids_are_an_error() -> None:
    environ = {"UV_WORKER_COUNT": "8"}
    assert by_id(doctor.diagnose({}, environ=environ, system="Linux"))
    assert not by_id(
        doctor.diagnose({}, ["uv-worker-count-invented"], environ=environ, system="Linux")
    )
    doctor.check_ids(["mps-dead"])
    with pytest.raises(UserError, match="no finding has the id 'nonsense'"):
        doctor.check_ids(["nonsense"])
