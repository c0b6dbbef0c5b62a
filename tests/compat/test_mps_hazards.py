"""The hazards of compat/ on the CPU: they pass there, and on a device that errs they fail."""

from __future__ import annotations

import ast
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

HERE = Path(__file__).parents[1]
COMPAT = HERE.parent / "compat"

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)


def marked() -> dict[str, bugs.Symptom]:
    """Return the functions of compat/test_mps_parity.py and their symptoms, without importing it."""
    found = {}
    for node in ast.walk(ast.parse((COMPAT / "test_mps_parity.py").read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.param":
            mark = node.keywords[0].value
            assert isinstance(mark, ast.Call)
            bug, symptom = ast.literal_eval(mark.args[0]), ast.literal_eval(mark.keywords[0].value)
            found[ast.literal_eval(node.args[0])] = bugs.get(bug).symptom(symptom)
    return found


HAZARDS = marked()
WORKLOADS = ("transit_cnn", "gpt_tiny")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """Run every function on the CPU and on faulty CPUs: one process, one import of torch."""
    done = subprocess.run(
        [sys.executable, str(HERE / "support" / "mps_faulty_device.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(COMPAT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_function_has_a_test(outcomes: dict[str, Any]) -> None:
    assert sorted(outcomes) == sorted([*HAZARDS, *WORKLOADS])


def test_each_computes_on_the_cpu_what_the_cpu_computes(outcomes: dict[str, Any]) -> None:
    assert {name: each["right"] for name, each in outcomes.items()} == dict.fromkeys(
        outcomes, "passed"
    )


@pytest.mark.parametrize("name", HAZARDS)
def test_a_device_with_the_fault_is_found_out_in_the_words_of_its_bug(
    outcomes: dict[str, Any], name: str
) -> None:
    symptom = HAZARDS[name]
    for said in outcomes[name]["faulty"]:
        kind, _, message = said.partition(": ")
        assert kind == symptom.raises
        # Nothing here ends a process; there the parent says so, in its own words.
        if not symptom.match.startswith("the process was ended"):
            assert pytest.RaisesExc(RuntimeError, match=symptom.match).matches(
                RuntimeError(message)
            )


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_fault_in_any_third_of_a_training_step_is_found_out(
    outcomes: dict[str, Any], name: str
) -> None:
    said = [
        each.partition(" is wrong: ")[0].rpartition(" ")[2] for each in outcomes[name]["faulty"]
    ]
    assert said == ["forward", "backward", "training"]
