"""What becomes a finding, with which severity and fix."""

from __future__ import annotations

import pytest
from diagnosed import GUIDE, HEALTHY, answered, by_id

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text, findings
from metalassay.environment import variables


def test_a_bug_that_an_upgrade_fixes_is_a_finding_with_that_fix() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    found = by_id(diagnosis)["accelerate-empty-shard"]
    assert (found.severity, found.kind) == ("error", "known bug")
    assert found.observed == "accelerate 1.8.0"
    assert found.expected == "not accelerate >=0.11.0,<1.9.0"
    assert found.fix == "pip install 'accelerate~=1.9.0'"
    assert found.link == bugs.get("accelerate-empty-shard").link
    assert not diagnosis.healthy


def test_an_accelerate_that_breaks_every_trainer_is_an_error() -> None:
    found = by_id(doctor.diagnose({**GUIDE, "accelerate": "1.1.1"}))
    assert found["trainer-needs-accelerate-1-3"].severity == "error"


def test_a_variable_is_a_finding_with_its_value() -> None:
    found = by_id(
        doctor.diagnose({}, environ={"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"}, system="Darwin")
    )
    finding = found["mps-high-watermark-below-low"]
    assert finding.observed == "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.7"
    assert finding.severity == "error"
    assert "is wrong: It is lower than" in finding.title


def test_setting_the_fallback_too_late_is_a_finding_only_where_mps_is_usable() -> None:
    usable = doctor.diagnose(
        HEALTHY, environ={}, system="Darwin", probe=answered("usable-constructed")
    )
    assert by_id(usable)["mps-fallback-too-late"].severity == "info"
    assert "mps-fallback-too-late" not in by_id(doctor.diagnose(HEALTHY, system="Darwin"))


@pytest.mark.parametrize(
    ("answer", "finding", "severity", "fix"),
    [
        ("torch-import-raises-constructed", "torch-not-importable", "error", ""),
        ("torch-import-aborts-constructed", "torch-not-importable", "error", ""),
        ("not-built-intel-constructed", "mps-not-built", "warning", ""),
        (
            "not-advertised-macos-12-constructed",
            "mps-not-advertised",
            "warning",
            "pip install 'torch<2.5'",
        ),
        ("not-advertised-vm-2-15-constructed", "mps-not-advertised", "warning", ""),
        ("dead-vm-constructed", "mps-dead", "error", ""),
        ("wrong-hangs-vm-constructed", "mps-wrong", "error", ""),
        ("usable-vm-constructed", "mps-virtual-machine", "info", ""),
        (
            "usable-below-floor-constructed",
            "mps-below-os-floor",
            "warning",
            "pip install 'torch<2.15'",
        ),
    ],
)
def test_each_bad_answer_of_the_probe_is_a_finding(
    answer: str, finding: str, severity: str, fix: str
) -> None:
    found = answered(answer)
    diagnosis = doctor.diagnose({}, system="Darwin", probe=found)
    told = {each.id: each for each in diagnosis.findings if each.kind == "MPS"}
    assert list(told) == [finding]
    assert (told[finding].severity, told[finding].fix) == (severity, fix)
    assert found.reason in doctor_text.as_text(diagnosis, "a Mac", width=1000)


@pytest.mark.parametrize(
    ("answer", "system"),
    [
        ("usable-constructed", "Darwin"),
        ("no-torch-constructed", "Darwin"),
        ("not-built-linux-recorded", "Linux"),
    ],
)
def test_a_normal_answer_of_the_probe_is_not_a_finding(answer: str, system: str) -> None:
    diagnosis = doctor.diagnose({}, system=system, probe=answered(answer))
    assert not [each for each in diagnosis.findings if each.kind == "MPS"]


def test_a_macos_too_old_for_torch_is_a_finding_without_the_probe() -> None:
    installed = {"torch": "2.13.0", "macos": "13.6"}
    found = by_id(doctor.diagnose(installed, system="Darwin"))["mps-below-os-floor"]
    assert found.observed == "macOS 13.6, torch 2.13.0"
    assert found.fix == "pip install 'torch<2.9'"
    assert "mps-below-os-floor" not in by_id(doctor.diagnose(installed, system="Linux"))


def test_metadata_without_a_valid_version_are_a_finding() -> None:
    diagnosis = doctor.diagnose({"torch": "None", "accelerate": "1.8.0"})
    assert by_id(diagnosis)["unreadable-torch"].observed == "torch None"
    assert "accelerate-empty-shard" in by_id(diagnosis)


def test_no_id_is_used_twice() -> None:
    ids = [bug.id for bug in bugs.load()] + [rule.id for rule in variables.load()]
    ids += findings.MPS_IDS
    assert len(ids) == len(set(ids))


def test_a_bug_that_was_only_reported_is_marked_in_its_finding() -> None:
    installed = {"torch": "2.8.0", "macos": "15.1"}
    finding = by_id(doctor.diagnose(installed))["mps-linear-transposed-weight"]
    assert finding.expected.endswith("(reported upstream, not run by us)")


def test_the_workaround_of_a_finding_is_its_first_fix_that_changes_no_version() -> None:
    finding = by_id(doctor.diagnose(GUIDE))["accelerate-n-shard-typo"]
    assert finding.fixes[0].startswith("upgrade: pip install")
    assert finding.workaround == finding.fixes[1]
    assert (
        by_id(doctor.diagnose({"datasets": "5.0.0"}))["datasets-second-resume-restarts"].workaround
        == ""
    )
