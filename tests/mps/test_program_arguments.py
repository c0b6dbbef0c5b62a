"""Command lines of Python programs, split into interpreter, options and program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_what_is_no_python_has_an_example_as_the_next_step() -> None:
    for program, message in (("ls", "'ls' is not a Python"), ("not-there", "no program not-there")):
        with pytest.raises(UserError, match=message) as caught:
            program_arguments.split([program], "metalassay run --emulate-mps -- python train.py")
        assert caught.value.next_step == (
            "an example: metalassay run --emulate-mps -- python train.py"
        )


@pytest.mark.parametrize(
    ("head", "options"),
    [
        (f"#!{sys.executable}", []),
        (f"#!{sys.executable} -I", ["-I"]),
        (f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''", []),
        (f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''", []),
    ],
)
def test_a_console_script_is_run_by_the_interpreter_that_it_names(
    head: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "accelerate"
    script.write_text(f"{head}\nimport sys\nprint(sys.argv[1:])\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # The system agrees about what the script is.
    said = subprocess.check_output(["accelerate", "launch"], text=True)  # noqa: S607
    assert said == "['launch']\n"
    parts = program_arguments.split(["accelerate", "launch", "x.py"], "an example")
    assert parts == (sys.executable, options, [str(script), "launch", "x.py"])


def test_env_finds_the_interpreter_of_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in (
        ("mine", "env python3 -u"),
        ("other", "env -S python3 -u"),
        ("no", "env bash"),
    ):
        (tmp_path / name).write_text(f"#!/usr/bin/{line}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("mine", "other"):
        python, options, rest = program_arguments.split([name], "an example")
        assert (python, options) == (str(tmp_path / "python3"), ["-u"])
        assert rest == [str(tmp_path / name)]
    with pytest.raises(UserError, match="'no' is not a Python interpreter"):
        program_arguments.split(["no"], "an example")


def test_a_script_that_is_not_executable_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "mine"
    script.write_text(f"#!{sys.executable}\n")
    with pytest.raises(UserError, match="mine is not executable") as caught:
        program_arguments.split([str(script)], "an example")
    assert f"chmod +x {script}" in caught.value.next_step


def test_a_script_whose_interpreter_is_gone_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "old"
    script.write_text("#!/nowhere/bin/python3\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match="there is no interpreter /nowhere/bin/python3"):
        program_arguments.split([str(script)], "an example")
