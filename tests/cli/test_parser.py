"""How help is laid out."""

from __future__ import annotations

from metalassay.cli.parser import fill


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
