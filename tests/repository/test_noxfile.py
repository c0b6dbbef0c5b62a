"""The noxfile: its menu, how it installs, and what it leaves for a row that cannot be installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from metalassay.errors import UserError
from metalassay.matrix import matrix_file, run_row
from metalassay.matrix.matrix_file import Row

pytest.importorskip("nox")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def noxfile() -> types.ModuleType:
    before = Path.cwd()
    os.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.chdir(before)
    return module


def listing(*arguments: str) -> list[dict[str, Any]]:
    """Ask nox which sessions a command line selects."""
    done = subprocess.run(
        [sys.executable, "-m", "nox", "-l", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sessions: list[dict[str, Any]] = json.loads(done.stdout)
    return sessions


QUICK_IDS = [f"accelerate-{v}" for v in ("1.1.1", "1.8.0", "1.8.1", "1.9.0", "1.15.0")]
QUICK = [f"compat({row})" for row in QUICK_IDS]
ROWS = [row.id for row in matrix_file.load(ROOT).rows.values() if "full" in row.tags]
ON_A_MAC = [] if matrix_file.why_not_here(matrix_file.get(ROOT, "mps")) else ["compat(mps)"]


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ([], [*QUICK, *ON_A_MAC, "bench", "report"]),
        (["-s", "compat"], [*QUICK, *ON_A_MAC]),
        (["-s", "compat(mps)"], ["compat(mps)"]),
        (["-s", "compat(guide)"], ["compat(guide)"]),
        (["-t", "guide"], ["compat(guide)"]),
        (["-t", "full"], [*QUICK, *(f"compat({row})" for row in ROWS if row not in QUICK_IDS)]),
    ],
)
def test_a_command_line_selects_its_sessions(arguments: list[str], selected: list[str]) -> None:
    sessions = listing(*arguments)
    assert [session["session"] for session in sessions] == selected
    assert all(session["description"] for session in sessions)


def test_a_python_without_wheels_of_torch_is_not_asked_to_run_the_benchmarks(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert noxfile.python("bench") is None
    monkeypatch.setattr(sys, "version_info", (3, 99))
    assert noxfile.python("bench") == "3.11"


# What nox's own environment lacks: everything but nox and what nox depends on.
NOT_BESIDE_NOX = ("psutil", "pytest", "torch", "jinja2", "tabulate", "numpy")
LOAD = """
import importlib.util, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # None: importing it raises ImportError
spec = importlib.util.spec_from_file_location("noxfile", "noxfile.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.matrix_file.__file__)
"""


def test_the_noxfile_loads_where_metalassay_is_not_installed() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *NOT_BESIDE_NOX],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == str(ROOT / "src" / "metalassay" / "matrix" / "matrix_file.py")


class Stop(Exception):  # noqa: N818  (what nox raises is no error of ours)
    """How a session ends early."""


def session_that(*posargs: str) -> types.SimpleNamespace:
    """Return a session that raises ``Stop("skip: why")`` or ``Stop("error: why")``."""

    def end(how: str) -> Callable[[str], None]:
        def stop(why: str) -> None:
            raise Stop(f"{how}: {why}")

        return stop

    return types.SimpleNamespace(
        posargs=list(posargs),
        notify=lambda _: None,
        parallel=False,
        log=lambda _: None,
        warn=lambda _: None,
        _runner=types.SimpleNamespace(manifest=types.SimpleNamespace(_queue=[])),
        skip=end("skip"),
        error=end("error"),
    )


def outcome(state: str, why: str = "") -> run_row.Outcome:
    return run_row.Outcome("x", state, why, 1.0)


@pytest.mark.parametrize(
    ("ending", "end"),
    [
        (outcome("not installable", "a depends on b<1"), "skip: not installable: a depends on b<1"),
        (outcome("skipped", "needs MPS"), "skip: needs MPS"),
        (outcome("red", "not installable: no"), r"error: red +x \(1\.0 s\): not installable: no"),
        (outcome("red"), r"error: red +x \(1\.0 s\)"),
        (
            outcome("error", "could not resolve: refused"),
            r"error: could not resolve: refused; this is not a verdict on x, and .*x\.json is unchanged;"
            r' next: nox -s "compat\(x\)"',
        ),
    ],
)
def test_a_row_ends_its_session_as_it_ended(
    noxfile: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    ending: run_row.Outcome,
    end: str,
) -> None:
    monkeypatch.setattr(noxfile.run_row, "run", lambda *_: ending)
    with pytest.raises(Stop, match=end):
        noxfile.run_one(session_that(), Row("x", ("a==1",), "r", ("full",)))


def test_bad_input_ends_the_session_with_the_next_step(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> run_row.Outcome:
        raise UserError("uv is not installed", "python3 -m pip install uv")

    monkeypatch.setattr(noxfile.run_row, "run", run)
    with pytest.raises(Stop, match="error: uv is not installed; next: python3 -m pip install uv"):
        noxfile.run_one(session_that(), Row("x", (), "r", ("full",)))


def test_our_own_arguments_are_read_and_the_others_go_to_pytest(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[run_row.Options] = []

    def run(_: Row, options: run_row.Options) -> run_row.Outcome:
        given.append(options)
        return outcome("green")

    monkeypatch.setattr(noxfile.run_row, "run", run)
    row = Row("x", (), "r", ("full",))
    noxfile.run_one(session_that("--strict", "-x", "--fresh"), row)
    noxfile.run_one(session_that(), row)
    assert [(each.strict, each.fresh, each.arguments) for each in given] == [
        (True, True, ("-x",)),
        (False, False, ()),
    ]


def test_each_row_says_how_many_follow_and_how_long_they_take(noxfile: types.ModuleType) -> None:
    session = session_that()
    first, second, *_ = (noxfile.MATRIX.rows[row] for row in QUICK_IDS)
    names = (f"compat({second.id})", "report", f"compat({first.id})")
    session._runner.manifest._queue = [types.SimpleNamespace(friendly_name=each) for each in names]
    waiting = noxfile.still_to_run(session, first)
    assert waiting == [first.id, second.id]
    said = noxfile.how_far(first, waiting)
    assert said.startswith(f"{first.id}; 1 more row after it, about ")


@pytest.mark.parametrize(
    ("outputs", "attempts", "failure"),
    [
        (["down", "down", "down"], 3, ("down", False)),
        (["down", None], 2, None),
        (["conflict"], 1, ("a depends on b", True)),
    ],
)
def test_what_is_not_a_conflict_is_tried_again(
    outputs: list[str | None],
    attempts: int,
    failure: tuple[str, bool] | None,
    noxfile: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    printed = {
        "down": "error: down",
        "conflict": "error: No solution found when resolving dependencies\n  cause: a depends on b",
    }
    tried: list[str | None] = []

    def install(*arguments: str, stdout: IO[str] | None = None, **_: object) -> None:
        if "--dry-run" in arguments:
            tried.append(outputs[len(tried)])
            if tried[-1] is not None:
                assert stdout is not None
                stdout.write(printed[tried[-1]])
                raise noxfile.nox.command.CommandFailed

    session = session_that()
    session.install = install
    session.virtualenv = types.SimpleNamespace(location=str(tmp_path))
    monkeypatch.setattr(noxfile.run_row, "PAUSES", (0, 0))
    monkeypatch.chdir(ROOT)
    found = noxfile.install(session, "a==1")
    assert (found and (found.why, found.conflict)) == failure
    assert len(tried) == attempts
    assert (tmp_path / "metalassay-installed.json").exists() is (failure is None)


@pytest.mark.parametrize("on_github", [True, False])
def test_on_github_the_report_is_written_to_the_jobs_page_too(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch, on_github: bool
) -> None:
    commands: list[tuple[str, ...]] = []
    session = types.SimpleNamespace(run=lambda *command: commands.append(command))
    monkeypatch.setattr(noxfile, "must_install", lambda *_: None)
    if on_github:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    else:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    noxfile.report.func(session)
    assert commands == [("metalassay", "report", *(["--summary"] if on_github else []))]


class Environment:
    """A stand-in for a nox session, as far as installing needs one."""

    def __init__(self, location: Path) -> None:
        self.location = str(location)
        self.virtualenv = self
        self.create()

    def create(self) -> None:
        Path(self.location).mkdir()

    def install(self, *requirements: str, **_: object) -> None:
        if "--dry-run" not in requirements:
            for name in requirements:
                Path(self.location, name).touch()


def test_a_package_that_is_not_required_any_more_is_removed(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    session = Environment(tmp_path / "environment")

    def installed(*requirements: str) -> set[str]:
        assert noxfile.install(session, *requirements) is None
        return {path.name for path in Path(session.location).iterdir()} - {
            "metalassay-installed.json"
        }

    assert installed("accelerate", "transformers") == {"accelerate", "transformers"}
    Path(session.location, "by-hand").touch()
    assert installed("accelerate", "transformers") == {"accelerate", "transformers", "by-hand"}
    assert installed("accelerate") == {"accelerate"}
