"""A row runs in real processes of pytest here, over an invented suite; only the installing is invented."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.matrix import ahead, environments, matrix_file, run_row
from metalassay.matrix.resolver import Failure
from metalassay.matrix.run_row import Options, Outcome
from metalassay.results import unfinished, verdict_file

ROOT = Path(__file__).parents[2]
ROW = """
[[row]]
id = "x"
requires = ["lib"]
python = "{}.{}"
tags = ["full"]
reason = "r"
""".format(*sys.version_info)
FINE = """
import pytest

@pytest.mark.bug("accelerate-env-off-path")
def test_first(upstream):
    pass
"""
SECOND = """
@pytest.mark.bug("accelerate-n-shard-typo")
def test_second(upstream):
    pass
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Options]:
    """Return a function that writes a suite and returns the options to run it."""
    monkeypatch.setattr(run_row, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(ahead, "of_row", lambda *_: ("lib==1.0",))
    monkeypatch.setattr(environments, "build", lambda *_: None)
    monkeypatch.setattr(environments, "is_built", lambda *_: True)
    programs = tmp_path / ".nox" / "compat-x" / "bin"
    programs.mkdir(parents=True)
    program = shutil.which("pytest", path=str(Path(sys.executable).parent)) or "pytest"
    (programs / "pytest").symlink_to(program)
    (tmp_path / "compat").mkdir()
    shutil.copy(ROOT / "compat" / "conftest.py", tmp_path / "compat")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    bug: x\n    slow: x\n")
    (tmp_path / "matrix.toml").write_text(ROW)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def write(*tests: str, **options: Any) -> Options:
        (tmp_path / "compat" / "test_x.py").write_text("".join(tests))
        return Options(tmp_path, tmp_path / "out", tmp_path / ".nox", **{"quiet": True, **options})

    return write


def run(options: Options) -> Outcome:
    return run_row.run(matrix_file.get(options.root, "x"), options)


def verdicts(options: Options) -> verdict_file.VersionSet:
    return verdict_file.load(options.output / "x.json")


def words(options: Options) -> dict[str, str]:
    return {bug.id: bug.verdict for bug in verdicts(options).bugs}


CRASH = """
@pytest.mark.bug("accelerate-empty-shard", symptom="unbound-local")
def test_crash(upstream):
    import os
    {how}
"""


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("os.abort()", "signal 6 (SIGABRT)"),
        ("os.kill(os.getpid(), 11)", "signal 11 (SIGSEGV)"),
        ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL); the system does that when memory is full"),
        ("os._exit(0)", "exit code 0"),
    ],
)
def test_a_test_that_ends_the_process_costs_its_bug_and_not_the_row(
    suite: Callable[..., Options], how: str, why: str
) -> None:
    options = suite(FINE, CRASH.format(how=how), SECOND)
    assert run(options).state == run_row.RED
    found = verdicts(options)
    crashed = next(bug for bug in found.bugs if bug.id == "accelerate-empty-shard")
    assert (crashed.verdict, crashed.why) == ("crashed", why)
    assert [test.outcome for test in crashed.tests] == ["crashed", "crashed"]  # stock and patched
    others = {test.test: test.outcome for bug in found.bugs for test in bug.tests if bug != crashed}
    assert set(others.values()) == {"passed"}
    assert len(others) == 3  # the last one stock and patched
    assert found.distrusted is None
    assert not (options.output / "x.journal").exists()
    assert not unfinished.path_of(options.output / "x.json").exists()


def test_a_failing_test_without_a_bug_makes_the_row_red(suite: Callable[..., Options]) -> None:
    options = suite(FINE, "\ndef test_other():\n    assert 1 == 2\n")
    assert run(options).state == run_row.RED
    (failure,) = verdicts(options).other_failures
    assert (failure.test, failure.outcome) == ("compat/test_x.py::test_other", "failed")
    assert "assert 1 == 2" in failure.evidence


def test_the_file_says_what_it_was_made_from(suite: Callable[..., Options]) -> None:
    options = suite(FINE)
    assert run(options).state == run_row.GREEN
    origin = verdicts(options).origin
    assert origin.lock == ("lib==1.0",)
    assert origin.interpreter == environments.interpreter(matrix_file.get(options.root, "x")).name
    assert len(origin.key or "") == 16
    assert len(origin.data or "") == 12
    assert verdicts(options).command == 'nox -s "compat(x)"'


def test_an_unchanged_row_is_not_run_again_and_keeps_its_colour(
    suite: Callable[..., Options],
) -> None:
    options = suite(FINE, "\ndef test_other():\n    assert 1 == 2\n")
    run(options)
    before = (options.output / "x.json").read_bytes()
    again = run(options)
    assert again.unchanged == verdicts(options).started
    assert again.state == run_row.RED
    assert (options.output / "x.json").read_bytes() == before
    assert run(replace(options, fresh=True)).unchanged is None


@pytest.mark.parametrize("what", ["test", "row", "lock"])
def test_a_changed_input_runs_the_row_again(
    suite: Callable[..., Options], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from metalassay.matrix import inputs

    options = suite(FINE)
    run(options)
    inputs.code.cache_clear()
    assert run(options).unchanged is not None
    if what == "test":
        suite(FINE, "\n# changed\n")
    elif what == "row":
        (options.root / "matrix.toml").write_text(ROW.replace('"r"', '"another reason"'))
    else:
        monkeypatch.setattr(ahead, "of_row", lambda *_: ("lib==1.1",))
    inputs.code.cache_clear()
    assert run(options).unchanged is None


@pytest.mark.parametrize("where", ["resolve", "install"])
def test_what_is_no_conflict_is_tried_again_and_then_an_error_that_touches_no_verdict(
    suite: Callable[..., Options], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    options = suite(FINE)
    run(options)
    before = (options.output / "x.json").read_bytes()
    tries: list[int] = []

    def fail(*_: object) -> Failure:
        tries.append(1)
        return Failure("connection refused")

    monkeypatch.setattr(
        environments if where == "install" else ahead,
        {"install": "build", "resolve": "of_row"}[where],
        fail,
    )
    outcome = run(replace(options, fresh=True))
    assert (outcome.state, outcome.why) == (run_row.ERROR, f"could not {where}: connection refused")
    assert len(tries) == 3
    assert (options.output / "x.json").read_bytes() == before
    marker = json.loads(unfinished.path_of(options.output / "x.json").read_text("utf-8"))
    assert marker["why"] == f"could not {where}: connection refused"


def test_a_row_whose_last_run_did_not_finish_runs_although_nothing_changed(
    suite: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = suite(FINE)
    run(options)
    with monkeypatch.context() as failing:
        failing.setattr(environments, "build", lambda *_: Failure("disk full"))
        assert run(replace(options, fresh=True)).state == run_row.ERROR
    assert run(options).unchanged is None
    assert not unfinished.path_of(options.output / "x.json").exists()
    assert run(options).unchanged is not None


@pytest.mark.parametrize(
    ("strict", "installs", "state"),
    [(False, True, "not installable"), (True, True, "red"), (True, False, "not installable")],
)
def test_a_conflict_is_a_verdict_and_red_where_the_row_should_install(
    suite: Callable[..., Options],
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    installs: bool,
    state: str,
) -> None:
    options = suite(FINE, strict=strict)
    (options.root / "matrix.toml").write_text(ROW + ("" if installs else "installs = false\n"))
    tries: list[int] = []

    def fail(*_: object) -> Failure:
        tries.append(1)
        return Failure("a depends on b<1", conflict=True)

    monkeypatch.setattr(ahead, "of_row", fail)
    outcome = run(options)
    assert outcome.state == state
    assert "a depends on b<1" in outcome.why
    assert len(tries) == 1
    assert verdicts(options).not_installable == "a depends on b<1"


def test_a_narrowed_run_goes_beside_the_whole_one_and_leaves_no_marker(
    suite: Callable[..., Options],
) -> None:
    options = suite(FINE, SECOND.replace("accelerate-n-shard-typo", "accelerate-empty-shard"))
    run(options)
    before = (options.output / "x.json").read_bytes()
    outcome = run(replace(options, arguments=("-k", "first")))
    assert outcome.state == run_row.GREEN
    assert (options.output / "x.json").read_bytes() == before
    partial = verdict_file.load(options.output / "x.partial")
    assert partial.selection.partial == "-k"
    assert "-k" in partial.selection.arguments
    assert not unfinished.path_of(options.output / "x.json").exists()


def test_a_suite_that_cannot_be_collected_is_an_error_of_the_row(
    suite: Callable[..., Options],
) -> None:
    options = suite(FINE, "\nimport nothing_of_this_name\n")
    outcome = run(options)
    assert (outcome.state, outcome.why) == (
        run_row.ERROR,
        "pytest ended before a verdict: exit code 2",
    )
    assert not (options.output / "x.json").exists()


def test_a_full_disk_is_named(
    suite: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = suite(FINE, "\nimport nothing_of_this_name\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    assert run(options).why.endswith(f"no space is left on the disk of {options.output}")


def test_a_process_that_dies_before_the_first_test_is_an_error_and_no_loop(
    suite: Callable[..., Options],
) -> None:
    options = suite(FINE, "\nimport os; os.abort()\n")
    outcome = run(options)
    assert outcome.why == "pytest ended before a verdict: signal 6 (SIGABRT)"


def test_stopping_ends_the_tests_and_marks_the_row(suite: Callable[..., Options]) -> None:
    stop = threading.Event()
    options = suite(FINE, "\ndef test_long():\n    import time; time.sleep(60)\n", stop=stop)
    timer = threading.Timer(2.0, stop.set)
    timer.start()
    with pytest.raises(run_row.StoppedError):
        run(options)
    marker = json.loads(unfinished.path_of(options.output / "x.json").read_text("utf-8"))
    assert marker["why"] == "interrupted"
    assert not (options.output / "x.json").exists()


def test_an_output_that_cannot_be_written_is_one_line(
    suite: Callable[..., Options], tmp_path: Path
) -> None:
    options = suite(FINE)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        run(replace(options, output=tmp_path / "file"))


@pytest.mark.parametrize(
    "arguments",
    [("--collect-only",), ("--setup-plan",), ("--runxfail",), ("-W", "error"), ("-o", "x_y=1")],
)
def test_no_option_of_pytest_makes_another_verdict(
    arguments: tuple[str, ...], suite: Callable[..., Options]
) -> None:
    options = suite(FINE)
    run(options)
    before = (options.output / "x.json").read_bytes()
    run(replace(options, arguments=arguments))
    assert (options.output / "x.json").read_bytes() == before


@pytest.mark.parametrize("option", ["--collect-only", "--runxfail", "-k nothing"])
def test_the_options_in_the_environment_do_not_reach_a_row(
    option: str, suite: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", option)
    options = suite(FINE)
    assert run(options).state == run_row.GREEN
    known = verdict_file.load(options.output / "x.json")
    assert {test.outcome for bug in known.bugs for test in bug.tests} == {"passed"}


def test_a_process_that_is_killed_once_from_outside_costs_no_verdict(
    suite: Callable[..., Options], tmp_path: Path
) -> None:
    once = tmp_path / "killed"
    body = f"import os, pathlib\n    once = pathlib.Path({str(once)!r})\n"
    body += "    if not once.exists():\n        once.touch()\n        os.kill(os.getpid(), 9)"
    options = suite(FINE.replace("pass", body))
    assert run(options).state == run_row.GREEN
    assert once.exists()
    known = verdict_file.load(options.output / "x.json")
    assert {test.outcome for bug in known.bugs for test in bug.tests} == {"passed"}


def test_a_row_whose_needs_this_machine_lacks_is_skipped_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(environments, "interpreter", lambda *_: pytest.fail("it began"))
    row = matrix_file.Row("x", (), "r", ("quick-mps",), ("3.11",), needs=("mps",))
    ended = run_row.run(row, Options(tmp_path, tmp_path / "out", tmp_path / ".nox", strict=True))
    assert (ended.state, ended.bad) == (run_row.SKIPPED, False)
    assert ended.why.startswith("needs MPS, which only a Mac with Apple silicon has; this is Linux")
    assert list(tmp_path.iterdir()) == []


def test_the_row_of_mps_selects_its_tests() -> None:
    row = matrix_file.get(ROOT, "mps")
    assert run_row.selection(row) == ["-m", "mps and not long"]
