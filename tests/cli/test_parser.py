"""Usage errors are two lines, and help is laid out for the terminal."""

from __future__ import annotations

import pytest

from metalassay.cli import main
from metalassay.cli.parser import fill

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


@pytest.mark.parametrize(
    ("arguments", "said", "program"),
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
    arguments: list[str], said: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(arguments)
    first, following, rest = capsys.readouterr().err.split("\n")
    assert first.startswith("metalassay: ")
    assert said in first
    assert (following, rest) == (f"  next: {program} --help", "")
