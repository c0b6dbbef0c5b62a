"""Run the jobs of our workflows, and composite actions, on this machine: their `run:` blocks as they stand.

Not GitHub, and no virtual machine: each step runs in a folder that the caller gives, in bash with the options that
GitHub uses, with the files for outputs, environment, path and summary. What a step `uses:` is done by a function that
the caller gives; an action without one is an error, and so is an expression that is not understood.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from local_expressions import evaluate, interpolate, text

Uses = Callable[["Job", Mapping[str, str]], Mapping[str, str]]
"""What stands in for an action: given the job and ``with:``, it returns the step's outputs."""

_BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")


@dataclass
class Step:
    """How one step ended: ``result`` is success, failure or skipped."""

    name: str
    result: str
    printed: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Job:
    """A job that runs in ``folder``. ``contexts`` are those of expressions; ``environment`` is that of its steps."""

    folder: Path
    contexts: dict[str, Any]
    uses: Mapping[str, Uses]
    environment: dict[str, str]
    wrap: Callable[[list[str], dict[str, str]], tuple[list[str], dict[str, str]]] | None = None
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    result: str = "success"
    seconds: float = 1800

    def value(self, template: object) -> Any:
        """Return the value of a field that may have expressions."""
        return interpolate(str(template), self.contexts, self._functions())

    def _functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "always": lambda: True,
            "success": lambda: self.result == "success",
            "failure": lambda: self.result == "failure",
            "cancelled": lambda: False,
        }

    def _wanted(self, step: Mapping[str, Any]) -> bool:
        condition = str(step.get("if", "success()"))
        bare = condition.strip().removeprefix("${{").removesuffix("}}")
        asks = any(f"{name}(" in bare for name in ("always", "success", "failure", "cancelled"))
        wanted = bool(evaluate(bare, self.contexts, self._functions()))
        return wanted and (asks or self.result == "success")

    def run(self, steps: list[dict[str, Any]], environment: Mapping[str, Any]) -> None:
        """Run steps, one after the other, until the last."""
        self.contexts.setdefault("steps", {})
        for step in steps:
            name = str(self.value(step.get("name", step.get("uses", step.get("run", "")))))
            if not self._wanted(step):
                self._ended(step, Step(name, "skipped"))
                continue
            variables = {**environment, **step.get("env", {})}
            self.contexts["env"] = {
                **self.contexts.get("env", {}),
                **{key: text(self.value(value)) for key, value in variables.items()},
            }
            done = self._used(step, name) if "uses" in step else self._ran(step, name, variables)
            self._ended(step, done)
            if done.result == "failure":
                self.result = "failure"

    def _ended(self, step: Mapping[str, Any], done: Step) -> None:
        self.steps.append(done)
        if "id" in step:
            steps = self.contexts["steps"]
            steps[step["id"]] = {"outputs": dict(done.outputs), "outcome": done.result}

    def _used(self, step: Mapping[str, Any], name: str) -> Step:
        action = step["uses"].partition("@")[0]
        given = {key: text(self.value(value)) for key, value in step.get("with", {}).items()}
        return Step(name, "success", outputs=self.uses[action](self, given))

    def _ran(self, step: Mapping[str, Any], name: str, variables: Mapping[str, Any]) -> Step:
        with tempfile.TemporaryDirectory() as temporary:
            files = {each: Path(temporary, each) for each in _FILES}
            for path in files.values():
                path.touch()
            script = Path(temporary, "step.sh")
            script.write_text(text(self.value(step["run"])), "utf-8")
            command = [*_BASH, str(script)]
            environment = {
                **self.environment,
                **{key: text(self.value(value)) for key, value in variables.items()},
                **{key: str(path) for key, path in files.items()},
            }
            if self.wrap is not None:
                command, environment = self.wrap(command, environment)
            done = subprocess.run(  # the script is the workflow's
                command,
                cwd=self.folder / text(self.value(step.get("working-directory", "."))),
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=self.seconds,
                check=False,
            )
            self.environment.update(_assignments(files["GITHUB_ENV"].read_text("utf-8")))
            for folder in reversed(files["GITHUB_PATH"].read_text("utf-8").split()):
                self.environment["PATH"] = f"{folder}{os.pathsep}{self.environment['PATH']}"
            self.summary += files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
            outputs = _assignments(files["GITHUB_OUTPUT"].read_text("utf-8"))
        return Step(name, "failure" if done.returncode else "success", done.stdout, outputs)


def _assignments(content: str) -> dict[str, str]:
    """Read ``name=value`` lines, as the runner does. Raises ``ValueError`` for other lines."""
    found = {}
    for line in content.splitlines():
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"no assignment: {line!r}")
        found[name] = value
    return found


def read(path: Path) -> dict[str, Any]:
    """Return a workflow or an action; YAML's ``on`` is no boolean here."""
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    if True in loaded:
        loaded["on"] = loaded.pop(True)
    return loaded


def combinations(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs of an evaluated matrix, of axes alone or of ``include`` alone."""
    if "include" in matrix:
        if len(matrix) > 1:
            raise ValueError("axes beside include are not supported here")
        return [dict(each) for each in matrix["include"]]
    return [dict(zip(matrix, each, strict=True)) for each in product(*matrix.values())]


def matrix_of(job: Mapping[str, Any], contexts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the combinations of a job's matrix: one, empty, where it has none."""
    axes = job.get("strategy", {}).get("matrix")
    if axes is None:
        return [{}]
    return combinations(
        {
            axis: interpolate(values, contexts, {}) if isinstance(values, str) else values
            for axis, values in axes.items()
        }
    )


def run_job(workflow: Mapping[str, Any], name: str, job: Job) -> Job:
    """Run one job of a workflow in ``job.folder``, with what ``job.contexts`` says of it."""
    definition = workflow["jobs"][name]
    shared = {**workflow.get("env", {}), **definition.get("env", {})}
    job.run(definition["steps"], shared)
    for key, template in definition.get("outputs", {}).items():
        job.outputs[key] = text(job.value(template))
    return job


def run_action(action: Path, inputs: Mapping[str, str], job: Job) -> Job:
    """Run the steps of a composite action; an input that is not given has its default."""
    definition = read(action / "action.yml")
    known = definition.get("inputs", {})
    if unknown := set(inputs) - set(known):
        raise ValueError(f"no such input: {', '.join(sorted(unknown))}")
    given = {}
    for key, described in known.items():
        if key not in inputs and described.get("required"):
            raise ValueError(f"the input {key} is required")
        given[key] = inputs.get(key, str(described.get("default", "")))
    job.contexts["inputs"] = given
    job.contexts["github"] = {**job.contexts.get("github", {}), "action_path": str(action)}
    job.environment["GITHUB_ACTION_PATH"] = str(action)
    job.run(definition["runs"]["steps"], {})
    for key, described in definition.get("outputs", {}).items():
        job.outputs[key] = text(job.value(described["value"]))
    return job
