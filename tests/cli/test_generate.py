"""`metalassay generate`: what it hands over."""

from __future__ import annotations

import argparse

from metalassay.cli import main


def test_the_options_of_sampling_are_handed_over(launched: list[argparse.Namespace]) -> None:
    assert main.main(["generate", "folder", "Why?", "--raw", "--top-k", "0", "--seed", "-1"]) == 0
    (options,) = launched
    assert options.launched == "generate"
    assert (str(options.run), options.prompt, options.raw) == ("folder", "Why?", True)
    assert (options.temperature, options.top_k, options.top_p) == (0.5, 0, 1.0)
    assert (options.seed, options.tokens, options.json) == (-1, 64, False)
