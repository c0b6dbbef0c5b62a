"""Command lines of Python programs, split into interpreter, options and program."""

from __future__ import annotations

import sys

import pytest

from metalassay.errors import UserError
from metalassay.mps import program_arguments


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([], "no program to run"),
        (["ls"], "'ls' is not a Python interpreter"),
        (["python-that-is-not-there", "x.py"], "there is no interpreter python-that"),
        (["python3", "-u"], "no program to run"),
        (["python3", "-m"], "no program to run"),
        (["python3", "absent.py"], "there is no file absent.py"),
        (["a-b:c"], "'a-b:c' is not module:function"),
    ],
)
def test_a_program_that_cannot_be_run_is_an_error(program: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        program_arguments.split(program, "metalassay preflight -- python train.py")


@pytest.mark.parametrize(
    ("arguments", "options", "rest"),
    [
        (["-m", "package.train", "--lr", "1"], [], ["-m", "package.train", "--lr", "1"]),
        (["-u", "-c", "pass"], ["-u"], ["-c", "pass"]),
        (
            ["-X", "dev", "-W", "error", __file__, "-v"],
            ["-X", "dev", "-W", "error"],
            [__file__, "-v"],
        ),
    ],
)
def test_options_of_the_interpreter_are_told_from_those_of_the_program(
    arguments: list[str], options: list[str], rest: list[str]
) -> None:
    parts = program_arguments.split([sys.executable, *arguments], "an example")
    assert parts == (sys.executable, options, rest)


def test_a_function_runs_in_this_python() -> None:
    parts = program_arguments.split(["package.train:main"], "an example")
    assert parts == (sys.executable, [], ["package.train:main"])


def test_the_next_step_for_a_console_script_keeps_the_command() -> None:
    with pytest.raises(UserError) as caught:
        program_arguments.split(["accelerate"], "metalassay run --emulate-mps -- python train.py")
    assert caught.value.next_step == (
        "for a console script: metalassay run --emulate-mps -- python -m its.module"
    )
