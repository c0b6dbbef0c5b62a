"""The hazards of compat/ pass on the CPU, and fail on a device that has the fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay import bugs
from metalassay.environment import versions

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parents[1] / "support"
COMPAT = Path(__file__).parents[2] / "compat"
WORKLOADS = ("transit_cnn", "gpt_tiny")

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)


def last_line_of(*program: Path) -> Any:
    """Run one of the programs in tests/support and return its last line, which is JSON."""
    child = subprocess.run(
        [sys.executable, *map(str, program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(COMPAT), *sys.path])},
        cwd=COMPAT.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return json.loads(child.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def symptoms() -> dict[str, bugs.Symptom]:
    """Return the symptom with which compat/test_mps_parity.py marks each hazard."""
    marks = last_line_of(SUPPORT / "collect_bug_marks.py", COMPAT / "test_mps_parity.py")
    return {hazard: bugs.get(bug).symptom(symptom) for hazard, (bug, symptom) in marks.items()}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """Run every function on the CPU and on faulty devices, in one process with one import of torch."""
    by_function: dict[str, dict[str, Any]] = last_line_of(SUPPORT / "mps_faulty_device.py")
    return by_function


def test_every_function_is_run_by_a_test(
    outcomes: dict[str, Any], symptoms: dict[str, bugs.Symptom]
) -> None:
    assert sorted(outcomes) == sorted([*symptoms, *WORKLOADS])


def test_every_function_passes_on_the_cpu(outcomes: dict[str, Any]) -> None:
    right = {name: outcome["right"] for name, outcome in outcomes.items()}
    assert right == dict.fromkeys(outcomes, "passed")


def test_a_faulty_device_fails_with_the_symptom_of_the_bug(
    outcomes: dict[str, Any], symptoms: dict[str, bugs.Symptom]
) -> None:
    unexpected = {
        name: outcome
        for name, symptom in symptoms.items()
        for outcome in outcomes[name]["faulty"]
        if not shows(symptom, outcome)
    }
    assert unexpected == {}
    assert all(outcomes[name]["faulty"] for name in symptoms)


def shows(symptom: bugs.Symptom, outcome: str) -> bool:
    """Return whether an outcome, "Type: message", is the symptom's exception and message."""
    kind, _, message = outcome.partition(": ")
    # The simulated device cannot end the process; on a Mac the parent would report that it did.
    ends_the_process = symptom.match.startswith("the process was ended")
    same_message = pytest.RaisesExc(RuntimeError, match=symptom.match).matches(
        RuntimeError(message)
    )
    return kind == symptom.raises and (ends_the_process or same_message)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_fault_in_any_part_of_a_training_step_is_found(
    outcomes: dict[str, Any], name: str
) -> None:
    parts = [
        outcome.partition(" is wrong: ")[0].rpartition(" ")[2]
        for outcome in outcomes[name]["faulty"]
    ]
    assert parts == ["forward", "backward", "training"]
