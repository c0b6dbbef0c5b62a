"""How a diagnosis is formatted for a terminal: one screen, or everything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from diagnosed import GUIDE, HEALTHY, answered, by_id

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text
from metalassay.environment import versions
from metalassay.environment.interpreters import Install, Interpreter
from metalassay.environment.managers import UV_PROJECT, Manager

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence" / "compat"
MAC = {"macos": "14.4", "apple-silicon": "2"}
VARIABLES = {
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7",
    "PYTORCH_ENABLE_MPS_FALLBACK": "true",
    "UV_WORKER_COUNT": "8",
}
LONG = "/Users/somebody/projects/a-folder-with-a-very-long-name/and-one-more-below-it/.venv"


def executed_sets() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the id and the versions of every committed verdict file."""
    for file in sorted(EVIDENCE.glob("*.json")):
        document = json.loads(file.read_text("utf-8"))
        pins = dict(line.split("==") for line in document["origin"]["lock"] if "==" in line)
        known = {**pins, **document["versions"]}
        yield (
            file.stem,
            {name: known[name] for name in (*versions.STACK, "python") if name in known},
        )


SETS = dict(executed_sets())
# Everything old together with everything new: no resolver allows it, plain pip does.
SETS["old-and-new"] = {
    "python": "3.11.7", "accelerate": "0.31.0", "torch": "2.13.0+cpu", "transformers": "5.0.0",
    "trl": "0.12.0", "datasets": "5.1.0", "huggingface-hub": "1.33.0", "numpy": "2.4.6",
    "safetensors": "0.8.0", "tokenizers": "0.22.2", "torchdata": "0.11.0", "peft": "0.17.1",
    "setuptools": "84.2.1", "metalassay": "0.1.0.dev0",
}  # fmt: skip
SETS["unreadable"] = {**SETS["guide"], "numpy": "None", "trl": "unreadable"}

WORST = {
    "accelerate-0.20.3", "boundary-1.1.1", "boundary-peft-0.15.0", "boundary-trl-0.16.1", "guide",
    "guide-3-today", "newest", "old-and-new", "unreadable",
}  # fmt: skip
"""The sets with most findings, none at all, or something odd."""


def managed() -> tuple[Manager, Interpreter]:
    """Return an environment in which everything is as it should not be."""
    python = f"{LONG}/bin/python"
    installs = (
        Install("accelerate", "1.8.0", f"{LONG}/lib/python3.11/site-packages"),
        Install("accelerate", "1.1.1", f"{LONG}/lib/python3.11/site-packages"),
        Install("trl", "0.18.0", f"{LONG}/lib", editable="file:///code/trl"),
    )
    interpreter = Interpreter(python, LONG, "/usr", "/usr/lib", "x86_64", False, installs)
    folder = Path(LONG)
    manager = Manager(
        UV_PROJECT, python, folder, folder.parent, folder.parent / "uv.lock", has_pip=False, rosetta=True
    )  # fmt: skip
    return manager, interpreter


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in WORST else pytest.mark.slow) for name in SETS],
)
@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_a_summary_is_one_screen_of_eighty_columns(system: str, name: str) -> None:
    installed = {**SETS[name], **(MAC if system == "Darwin" else {})}
    bad = "not-built-linux-recorded" if system == "Linux" else "wrong-hangs-vm-constructed"
    fine = "not-built-linux-recorded" if system == "Linux" else "usable-below-floor-constructed"
    manager, interpreter = managed()
    for probe, environ, environment in (
        (None, {}, None),
        (answered(bad), VARIABLES, (manager, interpreter)),
        (answered(fine), {}, (manager, interpreter)),
    ):
        diagnosis = doctor.diagnose(
            installed,
            environ=environ,
            system=system,
            probe=probe,
            managed=environment,
        )
        text = doctor_text.as_text(diagnosis, "Apple M2 Pro " * 9, python=LONG, width=80)
        lines = text.splitlines()
        assert len(lines) <= doctor_text.SCREEN, text
        assert [line for line in lines if len(line) > 80] == [], text
        assert_nothing_is_lost(diagnosis, lines)


def assert_nothing_is_lost(diagnosis: doctor.Diagnosis, lines: list[str]) -> None:
    """Check that every finding that counts has its line, or is counted."""
    severities = ("error    ", "warning  ")
    shown = sum(line.startswith(severities) for line in lines)
    [*more] = (line for line in lines if line.endswith(" more: -v"))
    counted = int(more[0].split()[1]) if more else 0
    assert shown + counted == sum(finding.counts for finding in diagnosis.findings)
    if any(not finding.here for finding in diagnosis.findings):
        assert " more on a Mac" in lines[-1]


def test_the_answer_comes_first_then_what_to_do() -> None:
    broken = doctor.diagnose({**GUIDE, "accelerate": "1.1.1"})
    lines = doctor_text.as_text(broken, "a Mac", width=80).splitlines()
    assert lines[0].startswith("Can this train? No: Every Trainer of transformers >= 4.52 crashes")
    do = next(number for number, line in enumerate(lines) if line.startswith("Do: pip install"))
    assert do <= 3
    assert lines[do + 1].lstrip().startswith(("fixes", "'"))


def test_an_error_is_shown_in_full_and_what_the_same_change_fixes_on_one_line() -> None:
    text = doctor_text.as_text(doctor.diagnose({"accelerate": "1.8.0"}), "x", width=200)
    lines = text.splitlines()
    start = lines.index("error    An empty DataLoader yields a None batch, then crashes")
    assert lines[start + 1] == "         met in: an empty DataLoader; accelerate 1.8.0"
    assert lines[start + 2].startswith("         or: keep the version and wrap the run")
    assert lines[start + 3].strip() == bugs.get("accelerate-empty-shard").link
    warnings = [line for line in lines if line.startswith("warning  ")]
    assert len(warnings) > 3
    assert len({lines.index(line) for line in warnings}) == len(warnings)
    assert lines.index(warnings[-1]) - lines.index(warnings[0]) == len(warnings) - 1


def test_what_is_reported_more_often_comes_first() -> None:
    found = [each for each in doctor.diagnose(GUIDE).findings if each.severity == "warning"]
    reports = [each.reports for each in found]
    assert reports == sorted(reports, reverse=True)


def test_findings_that_need_a_mac_are_one_line_elsewhere_and_do_not_count() -> None:
    installed = {"accelerate": "1.10.0", "torch": "2.13.0"}
    on_linux = doctor.diagnose(installed, system="Linux")
    assert not by_id(on_linux)["accelerate-mps-fp16-refused"].here
    assert by_id(doctor.diagnose(installed, system="Darwin"))["accelerate-mps-fp16-refused"].counts
    needing = sum(finding.needs == bugs.MPS for finding in on_linux.findings)
    lines = doctor_text.as_text(on_linux, "x", width=80).splitlines()
    assert f"{needing} more on a Mac" in lines[-1]
    everything = doctor_text.as_text(on_linux, "x", width=80, everything=True)
    assert "On a Mac, and not counted here:" in everything
    assert "accelerate-mps-fp16-refused" not in on_linux.plan.fixes


def test_verbose_output_shows_every_fix_and_what_does_not_help() -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "x", width=1000, everything=True)
    for bug in bugs.load():
        if bug.hits(GUIDE):
            for advice in bug.advice():
                assert advice in text


@pytest.mark.parametrize(("width", "everything"), [(1, False), (40, False), (80, True)])
def test_only_links_and_commands_are_wider_than_the_terminal(width: int, everything: bool) -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "a Mac", width=width, everything=everything)
    for line in text.splitlines():
        cannot_break = everything and ("https://" in line or "pip install" in line)
        assert len(line) <= max(width, 40) or cannot_break, line


def test_a_command_that_fits_no_screen_is_named_instead() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    command = ["uv", "pip", "install", "--python", "/x" * 60, "a"]
    text = doctor_text.as_text(diagnosis, "x", width=80, command=command)
    assert "metalassay doctor --fix" in text
    assert "/x/x" not in text


def test_where_nothing_may_be_installed_it_says_what_to_do_first() -> None:
    manager, interpreter = managed()
    external = dataclasses.replace(manager, kind="system", lock=None, externally_managed=True)
    diagnosis = doctor.diagnose(GUIDE, managed=(external, interpreter))
    text = doctor_text.as_text(diagnosis, "x", width=80, command=[])
    assert "First: this Python belongs to the operating system; make an environment:" in text
    assert "Do:" not in text
    assert "Then install accelerate~=" in text


def test_the_plan_lists_what_it_fixes_and_what_it_brings() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    text = doctor_text.plan_text(diagnosis, ["uv", "pip", "install", *diagnosis.plan.requirements])
    assert text.startswith("uv pip install 'accelerate~=1.")
    assert f"fixes {len(diagnosis.plan.fixes)}: accelerate-empty-shard" in text
    healthy = doctor.diagnose(HEALTHY)
    assert doctor_text.plan_text(healthy, []) == "no change of version fixes anything here"


def test_versions_that_do_not_matter_are_shown_only_with_everything() -> None:
    installed: Mapping[str, str] = {**GUIDE, "setuptools": "84.2.1"}
    diagnosis = doctor.diagnose(installed)
    assert "setuptools" not in doctor_text.as_text(diagnosis, "x", width=80)
    assert "setuptools 84.2.1" in doctor_text.as_text(diagnosis, "x", width=80, everything=True)
