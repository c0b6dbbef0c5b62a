"""Usage errors are two lines, and help is laid out for the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.cli import main, option_types
from metalassay.cli.parser import Parser, fill

TRANSIT, GPT = ["train", "transit"], ["train", "gpt"]


def test_paragraphs_are_wrapped_and_examples_are_kept() -> None:
    text = "examples:\n  metalassay doctor   a comment\n\nOne two three\nfour."
    assert fill(text, 31) == [
        "examples:",
        "  metalassay doctor   a comment",
        "",
        "One two three four.",
    ]


def test_the_comment_of_an_example_that_is_too_wide_goes_below_it() -> None:
    assert fill("  metalassay doctor   a comment", 28) == [
        "  metalassay doctor",
        "      a comment",
    ]


def test_a_long_example_is_broken_between_words() -> None:
    assert fill("  metalassay compare a b --of c", 24) == [
        "  metalassay compare a b",
        "      --of c",
    ]


def test_an_option_names_its_value_once_and_a_default_of_one_is_shown() -> None:
    parser = Parser(prog="p")
    parser.add_argument("-n", "--number", type=int, default=1, metavar="N", help="a number")
    assert "  -n, --number N  a number (default: 1)" in parser.format_help()


def test_the_usage_keeps_exclusive_options_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    transit = dict(main.subcommands(main.parser(["train"])))["train transit"]
    for width in range(60, 101):
        monkeypatch.setenv("COLUMNS", str(width))
        assert "[--quiet | --json]" in transit.format_usage(), width


@pytest.mark.parametrize(
    ("arguments", "message", "program"),
    [
        (["docter"], "there is no command 'docter'; did you mean doctor?", "metalassay"),
        (["train", "x"], "there is no program 'x'", "metalassay train"),
        (["--print-completion", "fish"], "invalid choice: 'fish'", "metalassay"),
        (["train"], "the following arguments are required: program", "metalassay train"),
        (
            [*TRANSIT, "--stepz", "3"],
            "unrecognized arguments: --stepz 3",
            "metalassay train transit",
        ),
        ([*TRANSIT, "--size", "x"], "argument --size: invalid choice", "metalassay train transit"),
        ([*GPT, "--quiet", "--json"], "not allowed with argument --quiet", "metalassay train gpt"),
        (["generate", "run"], "are required: PROMPT", "metalassay generate"),
        (["run", "--every", "x"], "argument --every", "metalassay run"),
    ],
)
def test_a_usage_error_is_one_line_and_the_next_command(
    arguments: list[str], message: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(arguments)
    first, following, rest = capsys.readouterr().err.split("\n")
    assert first.startswith("metalassay: ")
    assert message in first
    assert (following, rest) == (f"  next: {program} --help", "")


@pytest.mark.parametrize(
    ("words", "option", "rest"),
    [
        (["--profile", "python", "train.py"], 10, ["python", "train.py"]),
        (["--profile", "5", "python", "train.py"], 5, ["python", "train.py"]),
        (["--prof", "python", "train.py"], 10, ["python", "train.py"]),
        (["--profile", "--", "python", "train.py"], 10, ["python", "train.py"]),
        (["--log", "file", "--profile", "python"], 10, ["python"]),
    ],
)
def test_an_option_whose_value_may_be_left_out_takes_no_word_of_the_program(
    words: list[str], option: int, rest: list[str]
) -> None:
    parser = Parser(prog="p")
    parser.add_argument("program", nargs="*")
    parser.add_argument("--log")
    parser.add_argument("--profile", nargs="?", type=option_types.count, const=10)
    options = parser.parse_args(words)
    assert (options.profile, options.program) == (option, rest)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["--save", "transit-cnn"], "reports"),
        (["--most", "4", "--save", "transit-cnn"], "reports"),
        (["transit-cnn", "--save", "here"], "here"),
        (["--save", "here", "transit-cnn"], "here"),
        (["--save=here", "transit-cnn"], "here"),
    ],
)
def test_an_optional_folder_does_not_take_the_only_word(words: list[str], folder: str) -> None:
    parser = Parser(prog="p")
    parser.add_argument("workload")
    parser.add_argument("--most", type=option_types.count)
    parser.add_argument("--save", nargs="?", type=option_types.path, const=Path("reports"))
    options = parser.parse_args(words)
    assert (options.workload, options.save) == ("transit-cnn", Path(folder))


def test_an_optional_value_of_a_command_without_other_words_is_still_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["bench", "--profile", "x"])
    assert "argument --profile: must be a whole number" in capsys.readouterr().err
