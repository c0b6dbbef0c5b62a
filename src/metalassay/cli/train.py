"""The command `metalassay train`: train the guides' transit CNN or mini GPT, and fine-tune the latter."""

from __future__ import annotations

import argparse
from pathlib import Path

from metalassay.cli import handover, limit_options, option_types
from metalassay.errors import UserError
from metalassay.machine import dtypes, thread_limit

MOST_PARTS = 4096  # numbers that are searched for a better --accumulate

ENDING = """\
Ctrl+C once finishes the step and saves a checkpoint; --resume continues from it.

exit code: 0 done, 2 bad input, 130 stopped by Ctrl+C or SIGTERM with a checkpoint"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the two programs, each with its options."""
    parser.description = "Train one of the two programs of the guides, made small and correct."
    parser.usage = "metalassay train PROGRAM [options]"
    parser.epilog = """\
programs:
  transit    tell planets from other dips, in synthetic light curves
  gpt        train a small language model on dialogues in JSON lines
  sft        fine-tune such a model on the answers of dialogues
  dpo        fine-tune it on pairs of a preferred and a rejected answer

examples:
  metalassay train transit --epochs 4
  metalassay train gpt --size small --data dialogues.jsonl --max-cpu 70
  metalassay train gpt --resume
  metalassay train sft runs/gpt --data dialogues.jsonl"""
    programs = parser.add_subparsers(
        required=True,
        prog="metalassay train",
        metavar="program",
        dest="program",
        help=argparse.SUPPRESS,
    )
    _configure_transit(programs.add_parser("transit", help="tell planets from other dips"))
    _configure_gpt(programs.add_parser("gpt", help="train a small language model on dialogues"))
    _configure_sft(programs.add_parser("sft", help="fine-tune such a model on answers"))
    _configure_dpo(
        programs.add_parser("dpo", help="fine-tune it on preferred and rejected answers")
    )


def run(options: argparse.Namespace) -> int:
    """Start the training, after checking what no option can check alone."""
    command = f"train {options.program}"
    most = thread_limit.maximum()
    if (options.threads or 0) > most:
        raise UserError(
            f"--threads {options.threads}: at most {most}, {thread_limit.PER_CORE} times the cores here",
            f"metalassay {command} --threads {most // thread_limit.PER_CORE}",
        )
    batch, parts = options.batch_size, options.accumulate
    if batch % parts:
        near = _parts_near(batch, parts)
        raise UserError(
            f"--batch-size {batch} cannot be split into {parts} equal parts",
            f"--accumulate {near}, or --batch-size {max(batch - batch % parts, parts)}",
        )
    start = getattr(options, "start", None)
    if start is not None and options.output.absolute() == start.absolute():
        raise UserError(
            f"{start} holds the model to start from, which stays as it is",
            "choose another --output",
        )
    return handover.launch(command, options)


def _configure_transit(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train the classifier of guide 002 on synthetic light curves made from a seed, and evaluate"
        " it on stars that it has not seen."
    )
    parser.epilog = (
        """\
examples:
  metalassay train transit --epochs 1
  metalassay train transit --size astronet --device mps --output runs/astronet

"""
        + ENDING
    )
    parser.add_argument(
        "--size",
        choices=("guide", "astronet"),
        default="guide",
        help="the guide's two-branch CNN, or AstroNet",
    )
    parser.add_argument(
        "--curves", type=option_types.count, default=6000, metavar="N", help="light curves to make"
    )
    parser.add_argument(
        "--epochs",
        type=option_types.count,
        default=4,
        metavar="N",
        help="passes over the training data",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.count,
        default=64,
        metavar="N",
        help="light curves per update",
    )
    _configure_both(parser, Path("runs/transit"))


def _configure_sft(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fine-tune a trained mini GPT on dialogues (SFT), in the form that `metalassay train gpt`"
        " reads: the loss is that of the answers alone, every second message. Without --data: on the"
        " dialogues that come with the package."
    )
    parser.epilog = (
        """\
examples:
  metalassay train sft runs/gpt --data dialogues.jsonl
  metalassay generate runs/sft "What is a tide?"

"""
        + ENDING
    )
    _configure_start(parser, 'lines of {"text": "..."} to train on')
    _configure_both(parser, Path("runs/sft"), "0.001", "200")


def _configure_dpo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fine-tune a trained mini GPT on preferences (DPO): to prefer the chosen answers to the"
        " rejected ones more than the model in RUN does, which stays beside it as the reference."
        " Without --data: on pairs that come with the package, which prefer short answers."
    )
    parser.epilog = (
        """\
examples:
  metalassay train dpo runs/sft --data pairs.jsonl
  metalassay train dpo runs/gpt --beta 0.05 --steps 100

"""
        + ENDING
    )
    _configure_start(parser, 'lines of {"prompt": "...", "chosen": "...", "rejected": "..."}')
    parser.add_argument(
        "--beta",
        type=option_types.positive,
        default=0.1,
        metavar="B",
        help="how much the reference counts: the smaller, the further from it (default: 0.1)",
    )
    _configure_both(parser, Path("runs/dpo"), "3e-05", "200")


def _configure_start(parser: argparse.ArgumentParser, data: str) -> None:
    parser.add_argument(
        "start",
        type=option_types.folder,
        metavar="RUN",
        help="folder of the run whose newest model to start from",
    )
    parser.add_argument("--data", type=option_types.path, metavar="FILE", help=data)
    parser.add_argument(
        "--test", type=option_types.path, metavar="FILE", help="such a file to evaluate on"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first malformed line, instead of skipping",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.count,
        default=8,
        metavar="N",
        help="examples per update",
    )
    parser.add_argument(
        "--prompt",
        type=option_types.words,
        default="What is a tide?",
        metavar="TEXT",
        help="prompt of the sample at each evaluation",
    )


def _configure_gpt(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train the mini GPT of guide 004 on a JSON-lines file of any size, with a tokenizer trained"
        " on the same file. Without --data: on 200 dialogues that come with the package."
    )
    parser.epilog = (
        """\
examples:
  metalassay train gpt --steps 200
  metalassay train gpt --size small --data dialogues.jsonl --test held_out.jsonl

"""
        + ENDING
    )
    parser.add_argument(
        "--size", choices=("tiny", "small", "original"), default="tiny", help="size of the model"
    )
    parser.add_argument(
        "--data", type=option_types.path, metavar="FILE", help="JSON lines to train on"
    )
    parser.add_argument(
        "--test", type=option_types.path, metavar="FILE", help="JSON lines to evaluate on"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first malformed line, instead of skipping",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.count,
        default=8,
        metavar="N",
        help="windows of text per update",
    )
    parser.add_argument(
        "--prompt",
        type=option_types.words,
        default="What is a tide?",
        metavar="TEXT",
        help="prompt of the sample at each evaluation",
    )
    _configure_both(parser, Path("runs/gpt"))


def _configure_both(
    parser: argparse.ArgumentParser,
    output: Path,
    rate: str = "by size",
    steps: str = "by size or epochs",
) -> None:
    parser.add_argument(
        "--accumulate",
        type=option_types.count,
        default=1,
        metavar="N",
        help="split each batch into this many parts, to save memory",
    )
    parser.add_argument(
        "--learning-rate",
        type=option_types.positive,
        metavar="RATE",
        help=f"peak learning rate of the schedule (default: {rate})",
    )
    parser.add_argument(
        "--steps",
        type=option_types.count,
        metavar="N",
        help=f"updates of the weights (default: {steps})",
    )
    parser.add_argument(
        "--seed",
        type=option_types.seed,
        default=0,
        metavar="N",
        help="seed of weights, data and dropout",
    )
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="where to train; auto is the first that works of mps, cuda and cpu",
    )
    parser.add_argument(
        "--dtype",
        choices=dtypes.NAMES,
        default="float32",
        help="precision of the computation; other than float32 runs under autocast",
    )
    parser.add_argument(
        "--threads",
        type=option_types.count,
        metavar="N",
        help="threads of torch (default: one per core)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.folder,
        default=output,
        metavar="DIR",
        help="folder for checkpoints and the log",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the newest checkpoint in the folder"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=option_types.count,
        metavar="STEPS",
        help="save a checkpoint after this many steps (default: by length)",
    )
    parser.add_argument(
        "--evaluate-every",
        type=option_types.count,
        metavar="STEPS",
        help="evaluate after this many steps (default: by length)",
    )
    parser.add_argument(
        "--report-every",
        type=option_types.count,
        default=10,
        metavar="STEPS",
        help="write a line to the log after this many steps",
    )
    limit_options.add(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--quiet",
        dest="progress",
        action="store_const",
        const="quiet",
        help="print no progress bar",
    )
    shown.add_argument(
        "--json",
        dest="progress",
        action="store_const",
        const="json",
        help="print progress as JSON lines",
    )
    parser.set_defaults(progress="bar")


def _parts_near(batch: int, parts: int) -> str:
    """Return the numbers of equal parts next below and next above ``parts``."""
    divisors = [number for number in range(1, min(batch, MOST_PARTS) + 1) if batch % number == 0]
    below = max(number for number in divisors if number == 1 or number < parts)
    above = min((number for number in divisors if number > parts), default=None)
    return f"{below} or {above}" if above else f"{below}"
