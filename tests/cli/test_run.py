"""`metalassay run`: bad input; the limits themselves are tested in tests/supervise."""

from __future__ import annotations

import sys

import pytest

from metalassay.cli import main, run
from metalassay.supervise import background, command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no program to run"),
        (["--", "no-such-program"], "no program of that name is on the PATH"),
        (["--", "/"], "it is a folder"),
        (["--", "./no.py"], "there is no such file"),
        (["--emulate-mps=9", "--", sys.executable, "x.py"], "torch 9 are not known"),
        (["--emulate-mps", "--", "ls"], "'ls' is not a Python interpreter"),
        (["--emulate-mps"], "no program to run"),
        (["--backoff", "5", "--", "true"], "--restart is missing"),
        (["--resume", "--", "true"], "--restart is missing"),
        (["--restart", "2", "--resume", "--no-hook", "--", "true"], "--no-hook leaves out"),
        (["--log", "/", "--", "true"], "is a folder"),
        (["--profile-output", "x", "--", "true"], "--profile-output needs --profile"),
        (["--profile", "--no-hook", "--", "true"], "--profile needs what --no-hook leaves out"),
        (["--memory-limit", "200%", "--", "true"], "more than this machine has"),
        (["--log", "-", "--", "true"], "--log needs the name of a file"),
        (["--", ""], "the name of the program is empty"),
        (["--log", "/no/log", "--", "true"], "does not exist"),
    ],
)
def test_bad_input_is_an_error_before_anything_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main.main(["run", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert "\n  next: " in err


@pytest.mark.parametrize(
    "wrong", [["--max-cpu", "0"], ["--max-memory", "101"], ["--every", "0"], ["--stall", "0"]]
)
def test_a_limit_that_is_none_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["run", *wrong, "--", "true"])
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def options(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> command.Options:
    """Return what the command line asks `supervise.command` for."""
    asked: list[command.Options] = []

    def keep(chosen: command.Options) -> int:
        asked.append(chosen)
        return 0

    monkeypatch.setattr(command, "run", keep)
    assert main.main(["run", *arguments, "--", sys.executable, "a.py"]) == 0
    return asked[0]


def test_without_options_everything_that_helps_is_brought_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = options(monkeypatch)
    assert chosen.plan.command == (sys.executable, "a.py")
    assert (chosen.plan.max_cpu, chosen.plan.max_memory) == (1, 1)
    assert (chosen.reports, chosen.guard, chosen.patches) == (True, True, command.PATCHES)
    assert chosen.policy.restarts == 0


def test_each_thing_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options(monkeypatch, "--no-patches").patches == ()
    assert not options(monkeypatch, "--no-guard").guard
    without = options(monkeypatch, "--no-hook")
    assert (without.reports, without.patches) == (False, ())


def test_minutes_are_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = options(monkeypatch, "--stall", "30", "--timeout", "0.5").plan.rules
    assert (rules.stall, rules.timeout) == (1800, 30)


def test_an_emulated_program_can_be_limited_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_emulated", lambda torch, program: ["emulated", torch, *program])
    plan = options(monkeypatch, "--max-cpu", "50", "--emulate-mps=2.8").plan
    assert plan.command == ("emulated", "2.8", sys.executable, "a.py")
    assert plan.max_cpu == 0.5


def test_background_runs_it_with_the_least_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = options(monkeypatch, "--background").plan
    assert plan.command == (*background.prefix(sys.platform), sys.executable, "a.py")


def test_a_known_end_is_explained_and_an_unknown_one_is_not() -> None:
    text = "UnboundLocalError: cannot access local variable 'current_batch' where it is not"
    explained = run._explain(
        f"Traceback (most recent call last):\n{text} associated with a value\n", None
    )
    assert any("accelerate" in line for line in explained.lines)
    assert run._explain("ValueError: mine", None) == command.Explained()


def test_a_warning_that_the_program_survived_explains_nothing() -> None:
    text = (
        "resource_tracker: There appear to be 6 leaked semaphore objects to clean up at shutdown\n"
    )
    assert run._explain(text, None) == command.Explained()
