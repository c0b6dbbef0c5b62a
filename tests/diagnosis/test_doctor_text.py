"""How a diagnosis is formatted for a terminal."""

from __future__ import annotations

import pytest
from diagnosed import GUIDE, HEALTHY

from metalassay import bugs
from metalassay.diagnosis import doctor, doctor_text


def test_a_finding_shows_severity_installed_version_fix_link_and_id() -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "Apple M4", python="py", width=100)
    lines = text.splitlines()
    assert lines[0] == "Machine   Apple M4"
    assert lines[1] == "Python    py"
    start = lines.index("error    An empty DataLoader yields a None batch, then crashes")
    assert lines[start + 1] == "         accelerate 1.8.0: pip install 'accelerate~=1.9.0'"
    assert lines[start + 2].startswith("         or:  keep the version and wrap the run")
    assert "https://github.com/huggingface/accelerate/pull/3659 [accelerate-empty-shard]" in text
    assert "not counted" in text


def test_verbose_output_shows_every_fix_and_what_does_not_help() -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "x", width=1000, everything=True)
    for bug in bugs.load():
        if bug.hits(GUIDE):
            for advice in bug.advice():
                assert advice in text


@pytest.mark.parametrize("width", [1, 40, 100])
def test_only_links_and_commands_are_wider_than_the_terminal(width: int) -> None:
    text = doctor_text.as_text(doctor.diagnose(GUIDE), "a Mac", width=width)
    for line in text.splitlines():
        cannot_break = len(line.split()) == 1 or "https://" in line or "pip install" in line
        assert len(line) <= max(width, 40) or cannot_break, line


def test_the_plan_lists_what_it_fixes_and_what_it_brings() -> None:
    diagnosis = doctor.diagnose(GUIDE)
    text = doctor_text.plan_text(diagnosis, ["uv", "pip", "install", *diagnosis.plan.requirements])
    assert text.startswith("uv pip install 'accelerate~=1.15.0'")
    assert f"fixes {len(diagnosis.plan.fixes)}: accelerate-empty-shard" in text
    assert "that did not apply before: accelerate-empty-epoch" in text
    healthy = doctor.diagnose(HEALTHY)
    assert doctor_text.plan_text(healthy, []) == "no change of version fixes anything here"


def test_only_an_error_is_shown_with_its_workaround() -> None:
    text = doctor_text.as_text(doctor.diagnose({"accelerate": "1.8.0"}), "x", width=1000)
    assert "warning" in text
    workarounds = [line for line in text.splitlines() if line.lstrip().startswith("or:")]
    [first] = bugs.get("accelerate-empty-shard").fixes[1:]
    assert workarounds == [f"         or:  {first}"]
