"""`metalassay evaluate`: what it hands over."""

from __future__ import annotations

import argparse

from metalassay.cli import main


def test_the_file_and_the_number_of_answers_are_handed_over(
    launched: list[argparse.Namespace],
) -> None:
    assert main.main(["evaluate", "folder", "--test", "a.jsonl", "--samples", "3", "--strict"]) == 0
    (options,) = launched
    assert options.launched == "evaluate"
    assert (str(options.run), str(options.test)) == ("folder", "a.jsonl")
    assert (options.samples, options.strict, options.temperature) == (3, True, 0.5)
