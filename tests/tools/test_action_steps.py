"""The action for other repositories: its steps as they stand, on a small package, and what each answers to."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import action_steps
import local_actions
import pytest
import rehearsal

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "mps"

_UV = """\
import json, os, pathlib, site, sys
arguments = sys.argv[1:]
with open(os.environ["STANDIN_LOG"], "a") as log:
    log.write(json.dumps([arguments, os.environ.get("UV_TORCH_BACKEND")]) + "\\n")
if arguments[0] == "venv":
    bin = pathlib.Path(arguments[-1], "bin")
    bin.mkdir(parents=True)
    for name, module in (("metalassay", "metalassay"), ("pytest", "pytest")):
        script = bin / name
        script.write_text(f'#!/bin/sh\\nPYTHONPATH={SOURCE} exec {sys.executable} -m {module} "$@"\\n')
        script.chmod(0o755)
elif "impossible==1" in arguments:
    sys.exit("no solution")
"""


def run(folder: Path, tests: str, **inputs: str) -> local_actions.Job:
    """Run the action on a package in ``folder``; its uv makes an environment of this Python's packages."""
    tools = folder.with_name("bin")
    tools.mkdir()
    uv = tools / "uv"
    uv.write_text(f"#!{sys.executable} -P\nSOURCE = {str(ROOT / 'src')!r}\n{_UV}")
    uv.chmod(0o755)
    # Not the python3 of a version manager, which puts its own uv first.
    (tools / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / "python3").chmod(0o755)
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GITHUB_", "PYTEST_")) and key != "PYTHONPATH"
    }
    environment |= {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder.parent),
        "STANDIN_LOG": str(folder.with_name("log")),
    }
    job = local_actions.Job(folder, {}, {"astral-sh/setup-uv": lambda *_: {}}, environment)
    return local_actions.run_action(ACTION, {"tests": tests, **inputs}, job)


TESTS = """
import pytest, torch
def test_that_mps_is_there():
    assert (torch.ones(2, device="mps") + 1).sum() == 4
def test_that_float64_is_refused():
    torch.ones(2, device="mps", dtype=torch.float64)
@pytest.mark.skip(reason="x")
def test_skipped(): ...
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "test_it.py").write_text(TESTS)
    return folder


@pytest.mark.slow
def test_a_package_gets_verdicts_and_its_tests_run_on_mps(package: Path) -> None:
    if reason := rehearsal.emulator_missing():
        pytest.skip(f"needs the emulated mps: {reason}")
    job = run(package, "pytest -q test_it.py", versions="torch==2.13.0 numpy>=1")
    assert [step.result for step in job.steps] == ["success"] * 3 + ["failure"]
    assert (job.outputs["passed"], job.outputs["failed"]) == ("1", "1")
    result = json.loads(Path(job.outputs["folder"], "result.json").read_text("utf-8"))
    assert result["tests"] == {"passed": 1, "failed": 1, "skipped": 1}
    (why,) = result["failed"].values()
    assert "float64" in why
    assert result["verdicts"]["fine"] > 0
    assert "accelerate-empty-shard" in result["here"]
    assert "- `accelerate-empty-shard`: " in job.summary
    assert "1 passed, 1 failed, 1 skipped" in job.summary
    (_, (installed, backend)) = map(json.loads, package.with_name("log").read_text().splitlines())
    assert installed[4:-1] == ["-e", ".", "pytest", "torch==2.13.0", "numpy>=1"]
    assert installed[-1].endswith("[compat,emulator]")
    assert backend == "cpu"


def test_versions_that_cannot_be_installed_end_the_action(package: Path) -> None:
    job = run(package, "pytest", versions="impossible==1")
    assert [step.result for step in job.steps] == ["success", "failure", "skipped", "skipped"]
    assert "::error::the package cannot be installed" in job.steps[1].printed


def values(folder: Path, tests: str) -> dict[str, str]:
    return {**os.environ, "FOLDER": str(folder), "TESTS": tests, "EMULATE": ""}


@pytest.mark.parametrize(("tests", "code"), [("true", 1), ("exit 3", 3)])
def test_a_command_that_runs_no_pytest_has_tested_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tests: str, code: int
) -> None:
    assert action_steps.tests(values(tmp_path, tests)) == code
    assert "::error::no pytest of the environment has run" in capsys.readouterr().out


def test_tests_that_are_all_skipped_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    report = tmp_path / action_steps.TESTS
    report.write_text('<testsuites><testcase name="a"><skipped/></testcase></testsuites>')
    assert action_steps.tests(values(tmp_path, "true")) == 1
    assert "::error::no test has run" in capsys.readouterr().out


def test_a_report_is_read_with_the_reason_of_each_failure(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="m" name="a"/><testcase classname="m" name="b">'
        '<failure message="no\n kernel"/></testcase><testcase classname="m" name="c"><error message="x"/>'
        '</testcase><testcase classname="m" name="d"><skipped/></testcase></testsuite></testsuites>'
    )
    counts = {"passed": 1, "failed": 2, "skipped": 1}
    assert action_steps.read(report) == (counts, {"m.b": "no kernel", "m.c": "x"})


def test_another_step_is_one_line() -> None:
    with pytest.raises(SystemExit, match="one of install, verdicts, tests"):
        action_steps.main(["rm"])
