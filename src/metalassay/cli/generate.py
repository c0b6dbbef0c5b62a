"""The command `metalassay generate`: let a trained mini GPT answer a prompt."""

from __future__ import annotations

import argparse

from metalassay.cli import handover, option_types, sampling_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Let a mini GPT that `metalassay train` trained or fine-tuned answer a prompt."
    )
    parser.epilog = """\
examples:
  metalassay generate runs/gpt "What is a tide?"
  metalassay generate runs/gpt "The Moon" --raw --temperature 0

exit code: 0 answered, 2 bad input"""
    sampling_options.add(parser)
    parser.add_argument(
        "prompt", type=option_types.words, metavar="PROMPT", help="the text to answer"
    )
    parser.add_argument(
        "--tokens",
        type=option_types.count,
        default=64,
        metavar="N",
        help="longest answer, in tokens",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="continue PROMPT unchanged, instead of answering it as a message",
    )


def run(options: argparse.Namespace) -> int:
    """Hand the command over to a process that imports torch."""
    return handover.launch("generate", options)
