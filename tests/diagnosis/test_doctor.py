"""What a diagnosis says, and how it is laid out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text, findings
from metalassay.environment import variables
from metalassay.errors import UserError
from metalassay.mps.probe import probe

DATA = Path(__file__).parents[1] / "data" / "probe"
GUIDE = {"python": "3.11.7", "accelerate": "1.8.0", "torch": "2.5.1", "transformers": "4.52.4"}
HEALTHY = {
    "python": "3.11.7",
    "accelerate": "1.15.0",
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "datasets": "5.2.0",
    "huggingface-hub": "2.4.0",
}


def answered(name: str) -> probe.Probe:
    """Return what the probe makes of a file of answers."""
    lines = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
    end = lines.pop()
    return probe.classify(
        probe.Answer(tuple(lines), end["returncode"], end["seconds"], end["stderr"])
    )


def by_id(diagnosis: doctor.Diagnosis) -> dict[str, findings.Finding]:
    """Return the findings by their ids."""
    return {finding.id: finding for finding in diagnosis.findings}


def test_a_bug_that_an_upgrade_fixes_is_found_with_its_fix() -> None:
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


def test_a_bug_that_no_version_fixes_does_not_make_an_environment_ill() -> None:
    diagnosis = doctor.diagnose(HEALTHY)
    assert "accelerate-empty-dispatcher" in by_id(diagnosis)
    assert {finding.severity for finding in diagnosis.findings} == {"info"}
    assert {finding.fix for finding in diagnosis.findings} == {""}
    assert diagnosis.healthy
    assert "Healthy" in doctor_text.as_text(diagnosis, "a Mac")


def test_a_healthy_version_is_called_healthy() -> None:
    assert "accelerate-empty-shard" not in by_id(doctor.diagnose({"accelerate": "1.9.0"}))
    nothing = doctor.diagnose(
        {"python": "3.11.7", "macos": "15.1", "apple-silicon": "4", "setuptools": "84"}
    )
    assert nothing.findings == ()
    assert "None of the packages that the known bugs concern" in doctor_text.as_text(
        nothing, "a Mac"
    )


def test_the_worst_comes_first() -> None:
    order = [finding.severity for finding in doctor.diagnose(GUIDE).findings]
    assert order == sorted(order, key=["error", "warning", "info"].index)


def test_what_is_ignored_is_neither_found_nor_fixed() -> None:
    ignored = {bug.id for bug in bugs.load()} - {"accelerate-empty-shard"}
    diagnosis = doctor.diagnose({"accelerate": "1.1.1"}, ignored)
    assert list(by_id(diagnosis)) == ["accelerate-empty-shard"]
    assert diagnosis.plan.requirements == ("accelerate~=1.9.0",)


def test_rules_and_mps_can_be_ignored_too_and_nothing_else() -> None:
    environ = {"UV_WORKER_COUNT": "8"}
    assert by_id(doctor.diagnose({}, environ=environ, system="Linux"))
    assert not by_id(
        doctor.diagnose({}, ["uv-worker-count-invented"], environ=environ, system="Linux")
    )
    doctor.check_ids(["mps-dead"])
    with pytest.raises(UserError, match="no finding has the id 'nonsense'"):
        doctor.check_ids(["nonsense"])


def test_a_variable_is_a_finding_with_its_value() -> None:
    found = by_id(
        doctor.diagnose({}, environ={"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"}, system="Darwin")
    )
    finding = found["mps-high-watermark-below-low"]
    assert finding.observed == "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.7"
    assert finding.severity == "error"
    assert "is wrong: It is lower than" in finding.title


def test_a_variable_that_comes_too_late_in_a_script_is_told_where_mps_works() -> None:
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
def test_what_the_probe_found_is_a_finding(
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
def test_where_mps_is_as_it_should_be_there_is_no_finding(answer: str, system: str) -> None:
    diagnosis = doctor.diagnose({}, system=system, probe=answered(answer))
    assert not [each for each in diagnosis.findings if each.kind == "MPS"]


def test_an_old_macos_is_found_without_the_probe() -> None:
    installed = {"torch": "2.13.0", "macos": "13.6"}
    found = by_id(doctor.diagnose(installed, system="Darwin"))["mps-below-os-floor"]
    assert found.observed == "macOS 13.6, torch 2.13.0"
    assert found.fix == "pip install 'torch<2.9'"
    assert "mps-below-os-floor" not in by_id(doctor.diagnose(installed, system="Linux"))


def test_metadata_that_name_no_version_are_a_finding_and_no_crash() -> None:
    diagnosis = doctor.diagnose({"torch": "None", "accelerate": "1.8.0"})
    assert by_id(diagnosis)["unreadable-torch"].observed == "torch None"
    assert "accelerate-empty-shard" in by_id(diagnosis)


def test_the_screen_names_severity_installed_fix_link_and_id() -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "Apple M4", python="py", width=100)
    lines = text.splitlines()
    assert lines[0] == "Machine   Apple M4"
    assert lines[1] == "Python    py"
    start = lines.index("error    An empty DataLoader yields a None batch, then crashes")
    assert lines[start + 1] == "         accelerate 1.8.0: pip install 'accelerate~=1.9.0'"
    assert lines[start + 2].startswith("         or:  keep the version and wrap the run")
    assert "https://github.com/huggingface/accelerate/pull/3659 [accelerate-empty-shard]" in text
    assert "not counted" in text


def test_with_everything_each_fix_is_shown() -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "x", width=1000, everything=True)
    for bug in bugs.load():
        if bug.hits(GUIDE):
            for advice in bug.advice():
                assert advice in text


@pytest.mark.parametrize("width", [1, 40, 100])
def test_lines_are_no_longer_than_the_terminal_but_for_addresses_and_commands(width: int) -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "a Mac", width=width)
    for line in text.splitlines():
        cannot_break = len(line.split()) == 1 or "https://" in line or "pip install" in line
        assert len(line) <= max(width, 40) or cannot_break, line


def test_the_plan_says_what_it_fixes_and_what_it_brings() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    text = doctor_text.plan_text(diagnosis, ["uv", "pip", "install", *diagnosis.plan.requirements])
    assert text.startswith("uv pip install 'accelerate~=1.15.0'")
    assert f"fixes {len(diagnosis.plan.fixes)}: accelerate-empty-shard" in text
    assert "that did not apply before: accelerate-empty-epoch" in text
    healthy = doctor.diagnose(HEALTHY)
    assert doctor_text.plan_text(healthy, []) == "no change of version fixes anything here"


def test_no_id_is_used_twice() -> None:
    ids = [bug.id for bug in bugs.load()] + [rule.id for rule in variables.load()]
    ids += findings.MPS_IDS
    assert len(ids) == len(set(ids))
