"""What becomes a finding, with which severity and fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from diagnosed import GUIDE, HEALTHY, answered, by_id
from packaging.specifiers import SpecifierSet

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text, findings
from metalassay.environment import managers, variables
from metalassay.environment.interpreters import Install, Interpreter
from metalassay.environment.managers import Manager
from metalassay.linkcheck.breaks import CERTAIN, LIKELY, POSSIBLE, Break


def test_a_bug_that_an_upgrade_fixes_is_a_finding_with_that_fix() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    found = by_id(diagnosis)["accelerate-empty-shard"]
    assert (found.severity, found.kind) == ("error", "known bug")
    assert found.observed == "accelerate 1.8.0"
    assert found.expected == "not accelerate >=0.11.0,<1.9.0"
    assert found.fix == "pip install 'accelerate~=1.15.0'"
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
        (
            "torch-import-hangs-constructed",
            "torch-did-not-finish",
            "warning",
            "metalassay doctor --timeout 180",
        ),
        (
            "import-takes-the-time-constructed",
            "torch-did-not-finish",
            "warning",
            "metalassay doctor --timeout 180",
        ),
        ("not-built-intel-constructed", "mps-not-built", "warning", ""),
        ("translated-intel-constructed", "mps-not-built", "warning", ""),
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
    ids += [*findings.MPS_IDS, *findings.ENVIRONMENT_IDS]
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


SITE = "/env/lib/site-packages"
PYTHON = Interpreter("/env/bin/python", "/env", "/usr", "/usr/lib", "arm64", has_pip=True)
VENV = Manager(managers.VENV, PYTHON.python, Path("/env"))
UV = Manager(managers.UV_PROJECT, PYTHON.python, Path("/env"), Path("/p"), Path("/p/uv.lock"))


def of_environment(
    manager: Manager, *installs: Install, **locked: list[str]
) -> dict[str, findings.Finding]:
    """Return the findings about an environment in which accelerate 1.9.0 is installed."""
    found = findings.of_environment(
        manager, replace(PYTHON, installs=installs), {"accelerate": "1.9.0"}, locked
    )
    assert {each.id for each in found} <= set(findings.ENVIRONMENT_IDS)
    assert all(each.link.startswith("https://") for each in found)
    return {each.id: each for each in found}


def test_an_ordinary_environment_has_no_finding() -> None:
    assert of_environment(VENV, Install("torch", "2.9.0", SITE)) == {}


@pytest.mark.parametrize(
    ("manager", "finding", "severity"),
    [
        (replace(VENV, rosetta=True), "python-under-rosetta", "warning"),
        (replace(VENV, has_pip=False), "no-pip", "info"),
        (replace(VENV, externally_managed=True), "externally-managed-python", "info"),
        (UV, "lock-undoes-installs", "info"),
    ],
)
def test_how_an_environment_is_managed_is_a_finding(
    manager: Manager, finding: str, severity: str
) -> None:
    assert {each.id: each.severity for each in of_environment(manager).values()} == {
        finding: severity
    }


def test_a_lock_file_with_other_versions_is_a_warning_that_names_them() -> None:
    found = of_environment(UV, accelerate=["1.8.0"], torch=["2.8.0"])["lock-differs"]
    assert found.severity == "warning"
    assert found.observed == "accelerate 1.9.0 (locked: 1.8.0)"
    assert "the next `uv run`" in found.title.lower()
    assert "lock-differs" not in of_environment(UV, accelerate=["1.8.0", "1.9.0"])
    # Without a project nothing reads the lock file.
    assert of_environment(VENV, accelerate=["1.8.0"]) == {}


def test_the_command_for_a_locked_project_changes_the_project() -> None:
    assert of_environment(UV)["lock-undoes-installs"].expected == "uv add --project /p PACKAGE"


@pytest.mark.parametrize(
    ("folders", "severity"),
    [
        ((SITE, SITE), "warning"),  # the metadata of both are in one folder
        (("/home/me/.local", SITE), "warning"),  # what is outside hides what is inside
        ((SITE, "/home/me/.local"), "info"),
    ],
)
def test_two_versions_of_a_package_are_a_finding(folders: tuple[str, str], severity: str) -> None:
    first, second = folders
    installs = (Install("numpy", "2.0", first), Install("numpy", "1.26.4", second))
    found = of_environment(VENV, *installs)["installed-twice"]
    assert found.severity == severity
    assert found.observed == f"numpy 2.0 in {first} and 1.26.4 in {second}"


def test_two_dist_infos_in_one_folder_are_both_named_also_with_one_version() -> None:
    names = ("torch-2.5.1.dist-info", "torch-2.6.0.dist-info")
    for versions in (("2.5.1", "2.6.0"), ("2.5.1", "2.5.1"), ("2.5.1", "unreadable")):
        each = [
            Install("torch", version, SITE, metadata=name)
            for version, name in zip(versions, names, strict=True)
        ]
        found = of_environment(VENV, *each)["installed-twice"]
        assert found.severity == "warning"
        assert all(f"{SITE}/{name}" in found.observed for name in names)


def test_the_same_version_twice_and_a_link_to_its_source_are_no_finding() -> None:
    same = (Install("numpy", "2.0", SITE), Install("numpy", "2.0", "/x"))
    assert of_environment(VENV, *same) == {}
    linked = (Install("trl", "", SITE, editable="/code"), Install("trl", "1.0", "/code"))
    assert "installed-twice" not in of_environment(VENV, *linked)


def test_a_package_from_a_folder_is_worth_knowing_but_for_metalassay() -> None:
    installs = [Install(name, "1.0", SITE, editable="/code") for name in ("trl", "metalassay")]
    assert of_environment(VENV, *installs)["editable-install"].observed == "trl from /code"


BROKEN = Break(
    caller="transformers",
    caller_version="5.23.0",
    provider="accelerate",
    provider_version="1.15.0",
    kind="argument",
    what="accelerate.Accelerator.x(y)",
    where="transformers/trainer.py:400",
    entry="Trainer",
    stops=True,
    confidence=CERTAIN,
)


def test_a_break_is_a_finding_and_one_that_certainly_stops_is_a_no() -> None:
    diagnosis = doctor.diagnose(HEALTHY, breaks=[BROKEN])
    found = by_id(diagnosis)["link-transformers-accelerate"]
    assert (found.severity, found.kind) == ("error", "link check")
    assert found.observed == "transformers/trainer.py:400 (certain)"
    assert diagnosis.verdict.says == (
        "No: transformers 5.23.0 needs accelerate.Accelerator.x(y), which accelerate 1.15.0 does not"
        " have"
    )
    assert not diagnosis.healthy
    assert doctor.diagnose(HEALTHY, ["link-transformers-accelerate"], breaks=[BROKEN]).healthy


@pytest.mark.parametrize(
    ("stops", "confidence", "severity"),
    [(True, LIKELY, "warning"), (True, POSSIBLE, "warning"), (False, CERTAIN, "info")],
)
def test_a_break_that_is_not_certain_or_stops_nothing_is_less(
    stops: bool, confidence: str, severity: str
) -> None:
    each = replace(BROKEN, stops=stops, confidence=confidence)
    found = by_id(doctor.diagnose(HEALTHY, breaks=[each]))["link-transformers-accelerate"]
    assert (found.severity, found.stops) == (severity, False)


def test_breaks_of_one_entry_are_one_finding() -> None:
    possible = replace(BROKEN, what="something else", confidence=POSSIBLE)
    [found] = findings.of_breaks([possible, BROKEN, possible], HEALTHY)
    assert found.severity == "error"
    assert found.title.endswith("accelerate 1.15.0 does not have (and 2 more)")
    assert len(findings.of_breaks([BROKEN, replace(BROKEN, entry="DPOTrainer")], HEALTHY)) == 2


def test_a_break_that_a_known_bug_describes_is_not_said_twice() -> None:
    old = {"transformers": "4.39.3", "accelerate": "1.0.0"}
    assert findings.of_breaks([BROKEN], old) == []
    assert len(findings.of_breaks([replace(BROKEN, entry="DPOTrainer")], old)) == 1
    assert len(findings.of_breaks([replace(BROKEN, provider="peft")], old)) == 1
    assert len(findings.of_breaks([replace(BROKEN, entry="")], old)) == 1
    assert len(findings.of_breaks([BROKEN], HEALTHY)) == 1
    grpo = replace(BROKEN, caller="trl", provider="transformers", entry="GRPOTrainer")
    assert findings.of_breaks([grpo], {"trl": "0.28.0", "transformers": "5.3.0"}) == []


def test_where_a_bug_that_was_executed_is_healthy_a_break_by_its_name_is_none() -> None:
    sampler = replace(
        BROKEN,
        caller="trl",
        provider="transformers",
        entry="GRPOTrainer",
        what="trl.trainer.grpo_trainer.GRPOTrainer._get_train_sampler(1 positional argument)",
    )
    executed = {"trl": "0.17.0", "transformers": "4.52.4"}
    assert not bugs.get("grpotrainer-train-sampler-transformers-4-52").hits(executed)
    assert findings.of_breaks([sampler], executed) == []
    other = replace(sampler, what="trl.trainer.grpo_trainer.GRPOTrainer._get_batch(x)")
    assert len(findings.of_breaks([other], executed)) == 1


def test_a_bug_that_stops_nearly_everybody_is_an_error() -> None:
    for bug in bugs.load():
        if bug.stops and not bug.needs:
            versions = {name: _inside(spec) for name, spec in bug.where[0].items()}
            assert bug.hits(versions), bug.id
            assert by_id(doctor.diagnose(versions))[bug.id].severity == "error"


def _inside(specifiers: SpecifierSet) -> str:
    """Return a version in a range: its lower bound, or something old."""
    lower = [each.version for each in specifiers if each.operator in (">=", "==")]
    return lower[0] if lower else "0.5"


def test_a_python_under_rosetta_is_told_how_to_get_one_for_arm64() -> None:
    (found,) = of_environment(replace(VENV, rosetta=True)).values()
    assert found.fix == "uv venv --python cpython-3.12-macos-aarch64-none"
    assert found.observed == "/env/bin/python runs as arm64"


def test_an_import_that_did_not_finish_is_neither_yes_nor_no() -> None:
    late = answered("torch-import-hangs-constructed")
    diagnosis = doctor.diagnose(HEALTHY, system="Darwin", probe=late)
    assert not diagnosis.healthy
    assert diagnosis.verdict.trains == "probably"
    assert diagnosis.verdict.says.startswith("Not known: import torch did not finish")
    assert diagnosis.verdict.says.endswith("Again: metalassay doctor --timeout 180")
