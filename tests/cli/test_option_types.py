"""What a user types: refused in one line that says what is wanted, with the next command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from metalassay.cli import main, option_types
from metalassay.cli.parser import Parser

TRANSIT, GPT = ["train", "transit"], ["train", "gpt"]
GENERATE, EVALUATE = ["generate", "run", "Why?"], ["evaluate", "run"]
COMPARE = ["compare", "a", "b"]
NO_TEXT = "\udce9"


@pytest.mark.parametrize(
    ("command", "option", "values", "wanted"),
    [
        (TRANSIT, "--learning-rate", "nan inf -1 0 abc", "a number above 0"),
        (GPT, "--learning-rate", "nan 1e999", "a number above 0"),
        (TRANSIT, "--steps", "abc 0 1.5", "a whole number of at least 1"),
        (TRANSIT, "--curves", str(2**63), f"a whole number of at most {2**63 - 1}"),
        (TRANSIT, "--seed", "18446744073709551615", f"a whole number of at most {2**63 - 1}"),
        (GPT, "--seed", "1" + 30 * "0", f"a whole number of at most {2**63 - 1}"),
        (GENERATE, "--seed", "1" + 30 * "0", f"a whole number of at most {2**63 - 1}"),
        (EVALUATE, "--seed", f"{-(2**63) - 1} x", f"a whole number of at least {-(2**63)}"),
        (TRANSIT, "--max-cpu", "abc 0 101 nan", "a number above 0 and at most 100"),
        (TRANSIT, "--every", "inf 0 nan", "a number above 0"),
        (TRANSIT, "--threads", "0 many", "a whole number of at least 1"),
        (GENERATE, "--temperature", "abc inf nan -1", "a number of at least 0"),
        (GENERATE, "--top-p", "0 1.1 nan abc", "a number above 0 and at most 1"),
        (GENERATE, "--top-k", "-1 abc", "a whole number of at least 0"),
        (EVALUATE, "--samples", "0 abc", "a whole number of at least 1"),
        (COMPARE, "--budget", "abc nan inf 0", "a number above 0"),
        (COMPARE, "--margin", "abc nan", "a number above 0"),
        (COMPARE, "--family", "abc 0", "a whole number of at least 1"),
        (["loader"], "--batch-size", "abc 0", "a whole number of at least 1"),
        (["loader"], "--timeout", "abc 0 inf nan", "a number above 0"),
        (["max-batch", "transit-cnn"], "--most", "abc 0", "a whole number of at least 1"),
        (["preflight", "a:b"], "--seconds", "abc -1 inf", "a number of at least 0"),
        (["preflight", "a:b"], "--places", "abc 0", "a whole number of at least 1"),
        (["doctor"], "--timeout", "abc nan -1", "a number of at least 0"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused_in_a_sentence(
    command: list[str],
    option: str,
    values: str,
    wanted: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = " ".join(word for word in command if word not in ("run", "a", "b", "a:b", "Why?"))
    program = program.removesuffix(" transit-cnn")
    for value in values.split():
        with pytest.raises(SystemExit) as raised:
            main.main([*command, f"{option}={value}"])
        assert raised.value.code == 2
        first, following, rest = capsys.readouterr().err.split("\n")
        assert first == f"metalassay: argument {option}: must be {wanted}, not {value!r}"
        assert (following, rest) == (f"  next: metalassay {program} --help", "")


def readers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, Any]]:
    """Yield every option of every command with what reads it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                assert isinstance(command, Parser)
                yield from readers(command)
        elif action.type is not None:
            yield f"{parser.prog} {action.option_strings or action.dest}", action.type


def test_no_option_is_read_by_a_function_whose_name_argparse_would_show() -> None:
    by_option = dict(readers(main.parser(main.COMMANDS)))
    assert len(by_option) > 50
    for name, reader in by_option.items():
        if reader not in (option_types.path, option_types.place):  # any text is a path
            with pytest.raises(
                argparse.ArgumentTypeError,
                match=r"^must be (a whole number|a number|text|a path|a name|an amount of memory) ",
            ):
                pytest.fail(f"{name} takes {reader(NO_TEXT)!r}")


NAMES = {"FILE", "DIR", "PATH", "RUN", "DIR|PYTHON", "FILE|-"}


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Yield every argument and option of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from arguments(command)
        else:
            yield f"{parser.prog} {action.option_strings or action.dest}", action


def test_an_empty_name_of_a_file_is_refused_by_every_option() -> None:
    """An unset variable leaves one, as in --env "$VENV"; as a path it would be the current folder."""
    every = dict(arguments(main.parser(main.COMMANDS)))
    for_files = {name: action for name, action in every.items() if action.metavar in NAMES}
    assert len(for_files) > 30
    for name, action in for_files.items():
        assert action.type in (option_types.path, option_types.place, option_types.folder), name
    assert not [name for name, action in every.items() if action.type is Path]


@pytest.mark.parametrize("text", ["", " ", "\t\n", "a\0b"])
def test_what_is_no_name_of_a_file_is_refused(text: str) -> None:
    for reader in (option_types.path, option_types.place, option_types.folder):
        with pytest.raises(argparse.ArgumentTypeError, match=r"^must be "):
            reader(text)
    assert option_types.path(" a b") == Path(" a b")


@pytest.mark.parametrize("command", ["doctor", "explain", "link", "check", "fix", "env"])
def test_an_empty_environment_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main([command, "--env", ""])
    first, following = capsys.readouterr().err.splitlines()
    assert first.endswith("argument --env/--python: must be the name of a file or folder, not ''")
    assert following == f"  next: metalassay {command} --help"


@pytest.mark.parametrize("seed", [0, -1, 42, 2**63 - 1, -(2**63)])
def test_every_seed_that_torch_accepts_is_accepted(seed: int) -> None:
    assert option_types.seed(str(seed)) == seed


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "run", "caf\udce9"],
        [*GPT, "--prompt=\udce9"],
        [*GPT, "-ocaf\udce9"],
        ["evaluate", "\udce9"],
    ],
)
def test_bytes_that_are_not_text_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(arguments)
    assert "in UTF-8, not '" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("12GB", 12 * 2**30), ("1.5 GiB", 3 * 2**29), ("512m", 2**29), ("1048576", 2**20)],
)
def test_an_amount_of_memory_has_a_unit(text: str, value: int) -> None:
    assert option_types.memory(text) == value


def test_a_percentage_of_memory_is_of_the_machine() -> None:
    assert option_types.memory("50%") == pytest.approx(psutil.virtual_memory().total / 2, abs=1)


@pytest.mark.parametrize("text", ["", "much", "0", "-1GB", "12XB", "5", "1e400GB", "nan"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="an amount of memory such as 12GB"):
        option_types.memory(text)
