"""The commands ``train``, ``generate`` and ``evaluate``: their arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay import cli_limits, launching

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EXITS = "exit code: 0 done, 2 bad input, 130 stopped by Ctrl+C or SIGTERM with a checkpoint"


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train the guides' transit CNN or mini GPT")
    what = train.add_subparsers(required=True, metavar="workload")
    _add_transit(what)
    _add_gpt(what)
    _add_generate(commands)
    _add_evaluate(commands)


def _add_transit(what: Commands) -> None:
    transit = what.add_parser(
        "transit",
        help="tell planets from what looks like one, in synthetic light curves",
        description=(
            "Train the classifier of guide 002 on synthetic light curves made from a seed, and"
            " judge it on stars that it has not seen."
        ),
        epilog=f"Ctrl+C once finishes the step and keeps it; go on with --resume.\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    transit.add_argument("--size", choices=("guide", "astronet"), default="guide")
    transit.add_argument("--curves", type=_positive, default=6000, help="light curves in all")
    transit.add_argument("--epochs", type=_positive, default=4)
    transit.add_argument("--batch-size", type=_positive, default=64, help="curves an update")
    _common(transit, Path("runs/transit"), "train transit")


def _add_gpt(what: Commands) -> None:
    gpt = what.add_parser(
        "gpt",
        help="a small language model, on dialogues as JSON lines",
        description=(
            "Train the mini GPT of guide 004 on a JSON-lines file of any size, with a tokenizer"
            " trained on the same file. Without --data: 200 dialogues that come with the package."
        ),
        epilog=f"Ctrl+C once finishes the step and keeps it; go on with --resume.\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    gpt.add_argument("--size", choices=("tiny", "small", "original"), default="tiny")
    gpt.add_argument("--data", type=Path, metavar="FILE", help="JSON lines to train on")
    gpt.add_argument("--test", type=Path, metavar="FILE", help="JSON lines to judge by")
    gpt.add_argument("--strict", action="store_true", help="stop at the first malformed line")
    gpt.add_argument("--batch-size", type=_positive, default=8, help="windows an update")
    gpt.add_argument(
        "--prompt", default="What is a tide?", help="what a sample at each evaluation answers"
    )
    _common(gpt, Path("runs/gpt"), "train gpt")


def _add_generate(commands: Commands) -> None:
    generate = commands.add_parser("generate", help="let a trained mini GPT answer")
    generate.add_argument("run", type=Path, metavar="RUN", help="the --output of train gpt")
    generate.add_argument("prompt", metavar="PROMPT")
    generate.add_argument("--tokens", type=_positive, default=64, help="at most so many")
    generate.add_argument("--raw", action="store_true", help="go on from PROMPT as it stands")
    _sampling(generate)
    generate.set_defaults(command=lambda options: launching.launch("generate", options))


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="perplexity of a trained mini GPT, and how varied its answers are"
    )
    evaluate.add_argument("run", type=Path, metavar="RUN", help="the --output of train gpt")
    evaluate.add_argument("--test", type=Path, metavar="FILE", help="JSON lines to judge by")
    evaluate.add_argument("--strict", action="store_true", help="stop at the first malformed line")
    evaluate.add_argument("--samples", type=_positive, default=10, help="answers to look at")
    _sampling(evaluate)
    evaluate.set_defaults(command=lambda options: launching.launch("evaluate", options))


def _sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--temperature", type=_at_least_0, default=0.5, help="0: the likeliest")
    parser.add_argument("--top-k", type=_at_least_0_whole, default=40, help="of so many; 0: of all")
    parser.add_argument("--top-p", type=_probability, default=1.0, help="of so much probability")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")


def _at_least_0(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def _at_least_0_whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def _probability(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def _common(parser: argparse.ArgumentParser, output: Path, command: str) -> None:
    parser.add_argument(
        "--accumulate", type=_positive, default=1, help="do a batch in this many parts"
    )
    parser.add_argument("--learning-rate", type=float, help="at the peak of the cycle")
    parser.add_argument("--steps", type=_positive, help="updates of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "mps", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--threads", type=_positive, help="of torch (default: as many as cores)")
    parser.add_argument("-o", "--output", type=_folder, default=output, metavar="DIR")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--checkpoint-every", type=_positive, metavar="STEPS")
    parser.add_argument("--evaluate-every", type=_positive, metavar="STEPS")
    parser.add_argument("--report-every", type=_positive, default=10, metavar="STEPS")
    cli_limits.add(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", dest="progress", action="store_const", const="quiet")
    shown.add_argument("--json", dest="progress", action="store_const", const="json")
    parser.set_defaults(command=lambda options: launching.launch(command, options), progress="bar")


def _folder(text: str) -> Path:
    if not text:  # as a Path it would be the current folder
        raise argparse.ArgumentTypeError("names no folder")
    return Path(text)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
