"""The command `metalassay evaluate`: measure the quality of a trained mini GPT."""

from __future__ import annotations

import argparse

from metalassay.cli import handover, option_types, sampling_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Measure the perplexity of a mini GPT on dialogues that it was not trained on, and how varied"
        " its answers are."
    )
    parser.epilog = """\
examples:
  metalassay evaluate runs/gpt
  metalassay evaluate runs/gpt --test held_out.jsonl --samples 50 --json

exit code: 0 evaluated, 2 bad input"""
    sampling_options.add(parser)
    parser.add_argument(
        "--test",
        type=option_types.path,
        metavar="FILE",
        help="JSON lines to evaluate on (default: 30 dialogues that come with the package)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first malformed line, instead of skipping",
    )
    parser.add_argument(
        "--samples", type=option_types.count, default=10, metavar="N", help="answers to generate"
    )


def run(options: argparse.Namespace) -> int:
    """Hand the command over to a process that imports torch."""
    return handover.launch("evaluate", options)
