"""Every `run:` block of every workflow, executed in a clone; what stands in for what is in workflow_clone.

The steps of Macs run on rehearsed ones, see tests/rehearsal.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_files
import github_server
import local_actions
import pytest
import rehearsal
from workflow_clone import Clone

MAC = {"machine": "macos-15", "labels": ["macos-15"], "system": "macOS"}
LINUX = {"machine": "ubuntu-24.04", "labels": ["ubuntu-24.04"], "system": "Linux"}
EXECUTED: set[tuple[str, str, str]] = set()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("workflows"))


@pytest.fixture
def there() -> Iterator[github_server.Repository]:
    with github_server.serve() as repository:
        yield repository


def run(clone: Clone, workflow: str, name: str, **given: Any) -> local_actions.Job:
    """Run a job, and remember which of its steps were executed."""
    job = clone.job(workflow, name, **given)
    definition = clone.workflow(workflow)["jobs"][name]
    for step, done in zip(definition["steps"], job.steps, strict=True):
        if "run" in step and done.result != "skipped":
            EXECUTED.add((workflow, name, step["name"]))
    return job


def green(job: local_actions.Job) -> local_actions.Job:
    printed = "\n".join(f"{step.name}: {step.result}\n{step.printed}" for step in job.steps)
    assert job.result == "success", printed
    return job


def asked_since(clone: Clone, before: int) -> list[list[str]]:
    return clone.asked()[before:]


def test_ci_runs_sessions_that_exist_and_its_gate_closes(clone: Clone) -> None:
    before = len(clone.asked())
    runners = green(run(clone, "ci", "runners"))
    needs = {"runners": {"result": "success", "outputs": runners.outputs}}
    jobs = clone.workflow("ci")["jobs"]
    assert local_actions.matrix_of(jobs["mac"], {"needs": needs}) == [{"runner": MAC}]
    tests = local_actions.matrix_of(jobs["tests"], {"needs": needs})
    assert [each["python"] for each in tests] == ["3.11", "3.12", "3.13", "3.14"]
    assert [each["runner"]["machine"] for each in tests] == ["ubuntu-24.04"] * 4
    for name in ("lint", "quick", "emulated", "package"):
        green(run(clone, "ci", name, needs=needs))
    green(run(clone, "ci", "tests", needs=needs, matrix=tests[0]))
    green(run(clone, "ci", "mac", needs=needs, matrix={"runner": MAC}))
    green(run(clone, "ci", "installed", needs=needs, matrix={"runner": LINUX}))
    sessions = {tuple(each[1:]) for each in asked_since(clone, before) if each[0] == "nox"}
    assert sessions == {
        *(("-s", name) for name in ("lint", "tests", "emulated", "wheel", "mlx")),
        (),
    }
    ended = {name: {"result": "success", "outputs": {}} for name in jobs["green"]["needs"]}
    green(run(clone, "ci", "green", needs=ended))
    ended["mac"]["result"] = "failure"
    assert run(clone, "ci", "green", needs=ended).result == "failure"
    ended["mac"]["result"] = "skipped"
    assert run(clone, "ci", "green", needs=ended).result == "failure"
    green(run(clone, "ci", "green", needs=ended, inputs={"machine": "ubuntu-24.04"}))


def test_a_machine_that_the_data_does_not_have_ends_the_run(clone: Clone) -> None:
    job = run(clone, "ci", "runners", inputs={"machine": "$(touch pwned)"})
    assert job.result == "failure"
    assert "no machine '$(touch pwned)'" in job.steps[-1].printed
    assert not (clone.folder / "pwned").exists()


def test_compat_runs_every_row_once_on_every_machine_and_makes_one_report(clone: Clone) -> None:
    plan = green(run(clone, "compat", "plan", inputs={"shards": 2, "tag": "quick"}))
    needs = {"plan": {"result": "success", "outputs": plan.outputs}}
    jobs = local_actions.matrix_of(clone.workflow("compat")["jobs"]["rows"], {"needs": needs})
    assert len(jobs) == 6  # two on each of three machines
    assert all(job["labels"] for job in jobs)
    for job in jobs:
        system = "Linux" if job["machine"].startswith("ubuntu") else "macOS"
        image = {"ImageOS": job["machine"], "ImageVersion": "20261101.1"}
        done = run(
            clone, "compat", "rows", needs=needs, matrix=job, system=system, environment=image
        )
        green(done)
    for machine in {job["machine"] for job in jobs}:
        rows = [row for job in jobs if job["machine"] == machine for row in job["rows"]]
        found = {path.stem for path in clone.artifacts.glob(f"compat-{machine}-*/**/*.json")}
        assert found == set(rows)
        assert len(rows) == len(set(rows)) == 5
    report = green(run(clone, "compat", "report", needs={**needs, "rows": {"result": "failure"}}))
    assert "### MPS on the runners" in report.summary
    assert "| macos-26 | macos-26 20261101.1 |" in report.summary
    assert "Metal 4" in report.summary
    assert "accelerate" in report.summary
    assert (clone.artifacts / "report").is_dir()


def test_the_whole_matrix_has_at_most_256_jobs(clone: Clone) -> None:
    plan = green(run(clone, "compat", "plan", inputs={}))
    jobs = json.loads(plan.outputs["jobs"])
    assert len(jobs) == 36
    assert len(plan.outputs["jobs"]) < 2**20  # what the outputs of a job may have
    refused = run(clone, "compat", "plan", inputs={"shards": 120, "tag": "full"})
    assert refused.result == "failure"
    assert "a workflow has at most 256; --of 85" in refused.steps[-1].printed


def test_on_a_rehearsed_mac_whose_mps_is_dead_the_job_is_green_and_says_not_tested(
    clone: Clone, tmp_path: Path
) -> None:
    if reason := rehearsal.emulator_missing():
        pytest.skip(f"needs the emulated mps: {reason}")
    mac = rehearsal.Rehearsal("vm", tmp_path / "vm")
    job = on_a_mac(clone, mac, "ci", "mac", matrix={"runner": MAC}, needs={})
    assert (
        "::notice::MPS on macos-15 (None): not tested: MPS advertised but dead"
        in job.steps[-3].printed
    )
    assert "not tested: MPS advertised but dead" in job.summary
    (kept,) = (clone.artifacts / "reports-macos-15").glob("machine/*.record")
    record = json.loads(kept.read_text("utf-8"))
    assert (record["state"], record["virtual"]) == ("dead", True)
    assert record["torch"]


def on_a_mac(
    clone: Clone, mac: rehearsal.Rehearsal, workflow: str, name: str, **given: Any
) -> local_actions.Job:
    """Run a job whose processes believe that they are on this Mac."""
    kept = mac.environment()
    names = ("METALASSAY_REHEARSAL", "METALASSAY_REHEARSAL_LOG", "METALASSAY_REHEARSAL_EMULATOR")
    environment = {each: kept[each] for each in (*names, "PYTHONPATH", "XDG_CACHE_HOME")}
    tools = str(mac.folder / "rehearsal-tools")
    return green(
        run(clone, workflow, name, system="macOS", environment=environment, tools=tools, **given)
    )


def test_a_benchmark_is_measured_on_a_real_mac_and_refused_on_a_virtual_one(
    clone: Clone, tmp_path: Path
) -> None:
    runners = green(run(clone, "bench", "runners"))
    needs = {"runners": {"result": "success", "outputs": runners.outputs}}
    found = local_actions.matrix_of(clone.workflow("bench")["jobs"]["bench"], {"needs": needs})
    assert [each["runner"]["machine"] for each in found] == ["mac-m4", "mac-m4-pro"]
    given: dict[str, Any] = {"needs": needs, "matrix": found[0]}
    m4 = rehearsal.Rehearsal("m4", tmp_path / "m4", mps=False)
    on_a_mac(clone, m4, "bench", "bench", **given)
    assert list((clone.artifacts / "bench-mac-m4").glob("*.json"))
    here = run(clone, "bench", "bench", **given)
    if "virtual" in here.steps[2].printed:
        assert here.result == "failure"
        allowed = green(run(clone, "bench", "bench", inputs={"virtual": True}, **given))
        assert "These times are not those of a Mac" in allowed.summary


def test_upstream_tests_each_set_and_tells_of_it_once(
    clone: Clone, there: github_server.Repository
) -> None:
    sets = green(run(clone, "upstream", "sets"))
    needs = {"sets": {"result": "success", "outputs": sets.outputs}}
    found = local_actions.matrix_of(clone.workflow("upstream")["jobs"]["test"], {"needs": needs})
    assert [each["set"] for each in found] == ["torch-nightly", "pre-releases", "main-branches"]
    for each in found:
        green(run(clone, "upstream", "test", needs=needs, matrix=each))
    environment = {"GITHUB_API_URL": there.url, "GITHUB_REPOSITORY": github_server.REPOSITORY}
    job = green(run(clone, "upstream", "issues", environment=environment))
    assert "Nothing new." in job.summary
    assert there.calls == ["GET /issues"]
    (clone.artifacts / "upstream-main-branches" / "main-branches.json").write_text("[]")
    assert run(clone, "upstream", "issues", environment=environment).result == "failure"


def test_a_release_is_refused_until_it_can_be_one(clone: Clone) -> None:
    github = {"ref": "refs/tags/v0.1.0", "ref_name": "v0.1.0"}
    refused = run(clone, "release", "check", github=github)
    assert refused.result == "failure"
    assert "decide where the project lives" in refused.steps[2].printed
    clone.git("checkout", "--quiet", "-b", "release")
    commands = [["home", "https://example.invalid/owner/metalassay"]]
    if "## [0.1.0]" not in (clone.folder / "CHANGELOG.md").read_text("utf-8"):
        commands.append(["cut", "0.1.0"])
    for command in commands:
        tool = [sys.executable, "tools/release.py", *command]
        subprocess.run(tool, cwd=clone.folder, check=True)
    clone.git("commit", "--quiet", "--all", "--message", "Release 0.1.0")
    try:
        green(run(clone, "release", "check", github=github))
    finally:
        clone.git("checkout", "--quiet", "main")
    assert "### Added" in (clone.artifacts / "notes" / "notes.md").read_text("utf-8")
    runners = green(run(clone, "release", "runners"))
    assert len(json.loads(runners.outputs["all"])) == 2
    (clone.artifacts / "Packages").mkdir(exist_ok=True)
    (clone.artifacts / "Packages" / "metalassay-0.1.0.tar.gz").touch()
    green(run(clone, "release", "installed", github=github, matrix={"runner": LINUX}))
    for name in ("package", "attest", "publish"):
        green(run(clone, "release", name, github=github))
    before = len(clone.asked())
    green(run(clone, "release", "announce", github=github))
    assert asked_since(clone, before) == [
        [
            "gh",
            "release",
            "create",
            "v0.1.0",
            "--verify-tag",
            "--title",
            "v0.1.0",
            "--notes-file",
            "notes.md",
            "dist/metalassay-0.1.0.tar.gz",
        ]
    ]


def test_a_result_in_an_issue_becomes_a_pull_request(
    clone: Clone, there: github_server.Repository
) -> None:
    result = next((clone.folder / "docs/results").glob("*.json")).read_text("utf-8")
    evil = '`$(touch pwned)` "; touch pwned #'
    body = f"### The result file\n\n```json\n{result}\n```\n\n{evil}"
    issue = {"number": 12, "body": body, "labels": [{"name": "result"}]}
    github = {"event": {"issue": issue}}
    green(run(clone, "contribution", "check", github=github))
    environment = {"GITHUB_API_URL": there.url, "GITHUB_REPOSITORY": github_server.REPOSITORY}
    job = green(run(clone, "contribution", "propose", github=github, environment=environment))
    assert "pull request #101" in job.steps[-1].printed
    (name,) = (each for each in there.branches["result-12"] if each.endswith(".json"))
    assert re.fullmatch(r"docs/results/metalassay-[a-z0-9-]+-12\.json", name)
    assert Path(name).name in there.branches["result-12"]["docs/results/README.md"].decode()
    assert there.branches["main"] == {}
    assert not (clone.folder / "pwned").exists()


def test_a_result_that_is_not_accepted_is_not_proposed(clone: Clone) -> None:
    document = bench_files.document()
    document["benchmarks"] = []
    body = f"```json\n{json.dumps(document)}\n```"
    github = {"event": {"issue": {"number": 1, "body": body, "labels": []}}}
    job = run(clone, "contribution", "check", github=github)
    assert job.result == "failure"
    assert "::error::benchmarks" in job.steps[2].printed


def test_fresh_runs_a_session_that_exists(clone: Clone) -> None:
    before = len(clone.asked())
    green(run(clone, "fresh", "fresh"))
    assert asked_since(clone, before) == [["nox", "-s", "fresh"]]


def test_every_run_block_was_executed(clone: Clone, request: pytest.FixtureRequest) -> None:
    names = {item.name for item in request.session.items if item.path == request.path}
    if len(names) < 12:
        pytest.skip("only a part of this file was selected")
    blocks = {
        (path.stem, name, step["name"])
        for path in (clone.folder / ".github/workflows").glob("*.yml")
        for name, job in local_actions.read(path)["jobs"].items()
        for step in job.get("steps", [])
        if "run" in step
    }
    assert blocks - EXECUTED == set()
