"""The reusable workflow, the action and the page that shows how to call them agree with each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import local_actions
import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = local_actions.read(ROOT / ".github/workflows/mps.yml")
ACTION = local_actions.read(ROOT / ".github/actions/mps/action.yml")
BLOCKS = [
    yaml.safe_load(block)
    for block in re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/ci.md").read_text("utf-8"), re.M | re.S
    )
]
INPUTS = WORKFLOW["on"]["workflow_call"]["inputs"]
(JOB,) = WORKFLOW["jobs"].values()


def contexts(**given: str) -> dict[str, Any]:
    defaults = {name: each.get("default") for name, each in INPUTS.items()}
    return {"inputs": {**defaults, **given}}


def test_every_version_is_a_job_on_every_python() -> None:
    versions = '["torch==2.8.0 accelerate==1.8.1", "torch==2.13.0"]'
    given = contexts(versions=versions, pythons='["3.11", "3.13"]')
    found = local_actions.matrix_of(JOB, given)
    assert len(found) == 4
    assert {"versions": "torch==2.8.0 accelerate==1.8.1", "python": "3.13"} in found
    assert len(local_actions.matrix_of(JOB, contexts(versions=versions))) == 2


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="fromJSON"):
        local_actions.matrix_of(JOB, contexts(versions="torch==2.8.0"))


def test_the_workflow_hands_its_inputs_to_the_action_in_its_own_repository() -> None:
    step = JOB["steps"][-1]
    assert step["uses"] == "$/.github/actions/mps"
    assert (ROOT / step["uses"].removeprefix("$/") / "action.yml").exists()
    assert set(step["with"]) <= set(ACTION["inputs"])
    used = set(re.findall(r"inputs\.([\w-]+)", str(JOB)))
    assert used == set(INPUTS)
    for name in set(INPUTS) & set(step["with"]):
        if "default" in INPUTS[name]:
            assert INPUTS[name]["default"] == ACTION["inputs"][name]["default"], name


def test_the_page_calls_both_with_what_they_take() -> None:
    (called,) = (block["jobs"]["apple-silicon"] for block in BLOCKS if "jobs" in block)
    assert called["permissions"] == JOB["permissions"]
    assert set(called["with"]) <= set(INPUTS)
    assert len(local_actions.matrix_of(JOB, contexts(**called["with"]))) == 2
    (steps,) = (block for block in BLOCKS if isinstance(block, list))
    assert set(steps[0]["with"]) <= set(ACTION["inputs"])
    assert "steps.mps.outputs.folder" in str(steps[1])
    assert "folder" in ACTION["outputs"]


def test_the_page_names_the_hook() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    (repos,) = (block["repos"] for block in BLOCKS if "repos" in block)
    assert [hook["id"] for hook in repos[0]["hooks"]] == [hook["id"] for hook in hooks]
