"""The commands ``train``, ``generate`` and ``evaluate``: their arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import handover, limit_options, option_types
from metalassay.errors import UserError
from metalassay.machine import dtypes, thread_limit

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

MOST_PARTS = 4096  # that are looked through for a number to propose

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
    transit.add_argument(
        "--curves", type=option_types.count, default=6000, help="light curves in all"
    )
    transit.add_argument("--epochs", type=option_types.count, default=4)
    transit.add_argument(
        "--batch-size", type=option_types.count, default=64, help="curves an update"
    )
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
    gpt.add_argument("--batch-size", type=option_types.count, default=8, help="windows an update")
    gpt.add_argument(
        "--prompt",
        type=option_types.words,
        default="What is a tide?",
        help="what a sample at each evaluation answers",
    )
    _common(gpt, Path("runs/gpt"), "train gpt")


def _add_generate(commands: Commands) -> None:
    generate = commands.add_parser("generate", help="let a trained mini GPT answer")
    generate.add_argument(
        "run", type=option_types.folder, metavar="RUN", help="the --output of train gpt"
    )
    generate.add_argument("prompt", type=option_types.words, metavar="PROMPT")
    generate.add_argument("--tokens", type=option_types.count, default=64, help="at most so many")
    generate.add_argument("--raw", action="store_true", help="go on from PROMPT as it stands")
    _sampling(generate)
    generate.set_defaults(command=lambda options: handover.launch("generate", options))


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="perplexity of a trained mini GPT, and how varied its answers are"
    )
    evaluate.add_argument(
        "run", type=option_types.folder, metavar="RUN", help="the --output of train gpt"
    )
    evaluate.add_argument("--test", type=Path, metavar="FILE", help="JSON lines to judge by")
    evaluate.add_argument("--strict", action="store_true", help="stop at the first malformed line")
    evaluate.add_argument(
        "--samples", type=option_types.count, default=10, help="answers to look at"
    )
    _sampling(evaluate)
    evaluate.set_defaults(command=lambda options: handover.launch("evaluate", options))


def _sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--temperature", type=option_types.number(least=0), default=0.5, help="0: the likeliest"
    )
    parser.add_argument(
        "--top-k", type=option_types.count_or_none, default=40, help="of so many; 0: of all"
    )
    parser.add_argument(
        "--top-p",
        type=option_types.number(above=0, most=1),
        default=1.0,
        help="of so much probability",
    )
    parser.add_argument("--seed", type=option_types.seed, default=0)
    parser.add_argument("--json", action="store_true")


def _common(parser: argparse.ArgumentParser, output: Path, command: str) -> None:
    parser.add_argument(
        "--accumulate", type=option_types.count, default=1, help="do a batch in this many parts"
    )
    parser.add_argument(
        "--learning-rate", type=option_types.positive, help="at the peak of the cycle"
    )
    parser.add_argument("--steps", type=option_types.count, help="updates of the weights")
    parser.add_argument("--seed", type=option_types.seed, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "mps", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=dtypes.NAMES, default="float32")
    parser.add_argument(
        "--threads", type=option_types.count, help="of torch (default: as many as cores)"
    )
    parser.add_argument("-o", "--output", type=option_types.folder, default=output, metavar="DIR")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--checkpoint-every", type=option_types.count, metavar="STEPS")
    parser.add_argument("--evaluate-every", type=option_types.count, metavar="STEPS")
    parser.add_argument("--report-every", type=option_types.count, default=10, metavar="STEPS")
    limit_options.add(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", dest="progress", action="store_const", const="quiet")
    shown.add_argument("--json", dest="progress", action="store_const", const="json")
    parser.set_defaults(command=lambda options: _train(command, options), progress="bar")


def _train(command: str, options: argparse.Namespace) -> int:
    """Hand the training over, after a look at what no option can say alone."""
    most = thread_limit.most()
    if (options.threads or 0) > most:
        raise UserError(
            f"--threads {options.threads}: at most {most}, {thread_limit.A_CORE} times the cores here",
            f"metalassay {command} --threads {most // thread_limit.A_CORE}",
        )
    batch, parts = options.batch_size, options.accumulate
    if batch % parts:
        near = _parts_near(batch, parts)
        raise UserError(
            f"--batch-size {batch} cannot be done in {parts} equal parts",
            f"--accumulate {near}, or --batch-size {max(batch - batch % parts, parts)}",
        )
    return handover.launch(command, options)


def _parts_near(batch: int, parts: int) -> str:
    """Return the numbers of equal parts that come before and after ``parts``."""
    divisors = [each for each in range(1, min(batch, MOST_PARTS) + 1) if batch % each == 0]
    below = max(each for each in divisors if each == 1 or each < parts)
    above = min((each for each in divisors if each > parts), default=None)
    return f"{below} or {above}" if above else f"{below}"
