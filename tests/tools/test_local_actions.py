"""Steps run as the runner runs them: bash that ends at the first error, outputs, environment, conditions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import local_actions
import pytest
import yaml


def job(folder: Path, **contexts: Any) -> local_actions.Job:
    return local_actions.Job(folder, contexts, {}, {"PATH": os.environ["PATH"]})


def run(folder: Path, steps: str, **contexts: Any) -> local_actions.Job:
    one = job(folder, **contexts)
    one.run(yaml.safe_load(steps), {})
    return one


def test_outputs_environment_and_path_reach_the_next_step(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
- id: one
  run: |
    echo "a=b=c" >> "$GITHUB_OUTPUT"
    echo "X=y" >> "$GITHUB_ENV"
    echo "# page" >> "$GITHUB_STEP_SUMMARY"
- env: {A: "${{ steps.one.outputs.a }}"}
  run: echo "$A $X" > file
""",
    )
    assert done.result == "success"
    assert (tmp_path / "file").read_text() == "b=c y\n"
    assert done.summary == "# page\n"


def test_after_a_failure_only_what_asks_for_it_runs(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
- run: "false | true"
- run: echo no
- if: failure()
  run: echo yes
- if: always()
  run: echo yes
- if: success() || failure()
  run: echo yes
- if: runner.os == 'Linux'
  run: echo no
""",
        runner={"os": "Linux"},
    )
    assert [step.result for step in done.steps] == [
        *("failure", "skipped", "success", "success", "success", "skipped")
    ]
    assert done.result == "failure"


def test_text_of_others_stays_text(tmp_path: Path) -> None:
    evil = '"; touch pwned; $(touch pwned) `touch pwned`\n'
    run(
        tmp_path,
        '- env: {B: "${{ github.body }}"}\n  run: printf "%s" "$B" > f',
        github={"body": evil},
    )
    assert (tmp_path / "f").read_text() == evil
    assert not (tmp_path / "pwned").exists()


def test_an_action_without_a_stand_in_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        run(tmp_path, "- uses: actions/unknown@v1")


def test_a_matrix_of_axes_and_one_of_included_jobs() -> None:
    contexts = {"needs": {"a": {"outputs": {"all": '[{"x": 1}, {"x": 2}]'}}}}
    from_json = "${{ fromJSON(needs.a.outputs.all) }}"
    axes = {"strategy": {"matrix": {"runner": from_json, "python": ["3.11", "3.12"]}}}
    assert len(local_actions.matrix_of(axes, contexts)) == 4
    included = {"strategy": {"matrix": {"include": from_json}}}
    assert local_actions.matrix_of(included, contexts) == [{"x": 1}, {"x": 2}]
    assert local_actions.matrix_of({}, contexts) == [{}]


def test_a_composite_action_gets_its_inputs_and_refuses_others(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_text(
        "inputs: {a: {required: true}, b: {default: c}}\noutputs: {x: {value: '${{ steps.s.outputs.x }}'}}\n"
        "runs: {using: composite, steps: [{id: s, shell: bash, env: {V: '${{ inputs.a }}${{ inputs.b }}'},"
        ' run: \'echo "x=$V" >> "$GITHUB_OUTPUT"\'}]}\n'
    )
    assert local_actions.run_action(tmp_path, {"a": "1"}, job(tmp_path)).outputs == {"x": "1c"}
    for inputs in ({}, {"a": "1", "z": ""}):
        with pytest.raises(ValueError, match="input"):
            local_actions.run_action(tmp_path, inputs, job(tmp_path))
