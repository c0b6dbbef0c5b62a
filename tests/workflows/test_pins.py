"""What every workflow and action must be: pinned, with the least rights, and without text of others in a shell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import local_actions
import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
FILES = [*WORKFLOWS, *ACTIONS]
PIN = re.compile(
    r"uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)"
)
TABLE = tomllib.loads((ROOT / ".github" / "actions.toml").read_text("utf-8"))["actions"]


def uses(path: Path) -> list[str]:
    """Return the lines of a file that use something, from the key on."""
    lines = path.read_text("utf-8").splitlines()
    return [line.strip().removeprefix("- ") for line in lines if re.match(r"\s*(- )?uses:", line)]


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the steps of a workflow or an action."""
    document = local_actions.read(path)
    jobs = document.get("jobs") or {"": document["runs"]}
    for job in jobs.values():
        yield from job.get("steps", [])


def ids(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} >= {
        *("bench", "ci", "compat", "contribution", "fresh", "release", "upstream")
    }


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_action_is_pinned_to_the_commit_of_the_table(path: Path) -> None:
    for line in uses(path):
        if line.startswith("uses: $/"):
            continue  # our own, at the commit that runs
        match = PIN.fullmatch(line)
        assert match, f"not pinned in the form NAME@COMMIT # vX.Y.Z: {line}"
        entry = TABLE[match["action"]]
        assert (match["commit"], match["version"]) == (entry["commit"], entry["version"])


def test_the_table_has_what_is_used_and_no_commit_twice() -> None:
    used = {
        match["action"] for path in FILES for line in uses(path) if (match := PIN.fullmatch(line))
    }
    assert set(TABLE) == used
    commits = [entry["commit"] for entry in TABLE.values()]
    assert len(set(commits)) == len(commits)
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits)


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_a_workflow_has_no_right_and_each_job_names_its_own(path: Path) -> None:
    document = local_actions.read(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert "permissions" in job, name
        assert "write-all" not in str(job["permissions"])


WRITES = {
    ("contribution", "propose"): {"contents", "pull-requests"},
    ("release", "attest"): {"attestations", "id-token"},
    ("release", "publish"): {"id-token"},
    ("release", "announce"): {"contents"},
    ("upstream", "issues"): {"issues"},
}
"""The jobs that may write, and what."""


def test_only_these_jobs_may_write() -> None:
    found = {
        (path.stem, name): {key for key, value in job["permissions"].items() if value == "write"}
        for path in WORKFLOWS
        for name, job in local_actions.read(path)["jobs"].items()
    }
    assert {key: rights for key, rights in found.items() if rights} == WRITES


def test_the_job_that_runs_foreign_pre_releases_has_no_token_and_no_checkout() -> None:
    job = local_actions.read(ROOT / ".github/workflows/upstream.yml")["jobs"]["test"]
    assert job["permissions"] == {}
    assert "token" not in str(job)
    assert not any("checkout@" in step.get("uses", "") for step in job["steps"])


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_checkout_leaves_its_credentials(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_expression_stands_in_a_shell(path: Path) -> None:
    # Not even a trusted one: values reach a shell in variables, so that nobody must ask which are.
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_text_of_others_is_only_ever_a_variable(path: Path) -> None:
    event = re.compile(
        r"github\.event\.(issue|pull_request|comment|review|head_commit)\.(title|body|message)"
    )
    for line in path.read_text("utf-8").splitlines():
        if event.search(line):
            assert re.fullmatch(r"\s+[A-Z_]+: \$\{\{ [\w.]+ \}\}", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_no_run_on_main_is_cancelled(path: Path) -> None:
    document = local_actions.read(path)
    if "workflow_call" in document["on"]:
        return  # its caller decides
    cancels = document["concurrency"]["cancel-in-progress"]
    assert cancels in (False, "${{ github.ref != 'refs/heads/main' }}")


def test_benchmarks_start_by_hand_or_by_the_calendar_behind_an_environment() -> None:
    document = local_actions.read(ROOT / ".github/workflows/bench.yml")
    assert set(document["on"]) == {"schedule", "workflow_dispatch"}
    assert document["jobs"]["bench"]["environment"] == "benchmarks"


def test_no_workflow_runs_a_fork_with_rights() -> None:
    assert [
        path.name for path in WORKFLOWS if "pull_request_target" in path.read_text("utf-8")
    ] == []


def test_the_gate_needs_every_other_job() -> None:
    jobs = local_actions.read(ROOT / ".github/workflows/ci.yml")["jobs"]
    assert set(jobs["green"]["needs"]) == set(jobs) - {"green"}
    assert jobs["green"]["if"] == "always()"


def test_a_machine_can_be_asked_for_by_its_name_in_the_data() -> None:
    runners = tomllib.loads((ROOT / ".github/runners.toml").read_text("utf-8"))["runner"]
    for name in ("ci", "compat", "bench"):
        inputs = local_actions.read(ROOT / f".github/workflows/{name}.yml")["on"][
            "workflow_dispatch"
        ]["inputs"]
        assert set(inputs["machine"]["options"]) == {"", *(each["machine"] for each in runners)}


def test_dependabot_waits_before_it_takes_a_release() -> None:
    (update,) = local_actions.read(ROOT / ".github/dependabot.yml")["updates"]
    assert update["package-ecosystem"] == "github-actions"
    assert update["cooldown"]["default-days"] >= 7
