"""The command `metalassay train`: train the guides' transit CNN or mini GPT, and fine-tune the latter."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from metalassay.cli import config_file, handover, limit_options, option_types, rlhf_options
from metalassay.errors import UserError
from metalassay.machine import dtypes, thread_limit
from metalassay.supervise import background

MOST_SIZE = 2**31 - 1  # of one dimension; products of three of them are Python numbers
MOST_PARTS = 4096  # numbers that are searched for a better --accumulate

ENDING = """\
Ctrl+C once finishes the step and saves a checkpoint; --resume continues from it.

exit code: 0 done, 2 bad input, 130 stopped by Ctrl+C or SIGTERM with a checkpoint"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the two programs, each with its options."""
    parser.description = (
        "Train one of the two programs of the guides, made small and correct. On a terminal,"
        " `metalassay train` alone asks three questions and runs the command that they make."
    )
    parser.usage = "metalassay train PROGRAM [options]"
    parser.set_defaults(parse=parser.parse_args, refuse=parser.error)
    parser.epilog = """\
programs:
  transit    tell planets from other dips, in synthetic light curves
  gpt        train a small language model on dialogues in JSON lines
  sft        fine-tune such a model on the answers of dialogues
  dpo        fine-tune it on pairs of a preferred and a rejected answer
  rlhf       SFT, reward model, DPO, PPO and GRPO with TRL, on tiny models

examples:
  metalassay train transit --epochs 4
  metalassay train gpt --size small --data dialogues.jsonl --max-cpu 70
  metalassay train gpt --resume
  metalassay train sft runs/gpt --data dialogues.jsonl"""
    programs = parser.add_subparsers(
        required=False,
        parser_class=config_file.Parser,
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
    rlhf_options.configure(programs.add_parser("rlhf", help="train tiny models with TRL"))


def run(options: argparse.Namespace) -> int:
    """Start the training, after checking what no option can check alone."""
    if options.program is None:
        return _run_by_questions(options)
    if options.program == "rlhf":
        return rlhf_options.run(options)
    command = f"train {options.program}"
    if options.dry_run and options.profile:
        raise UserError("--dry-run takes no steps to profile", "leave out one of them")
    most = thread_limit.maximum()
    if (options.threads or 0) > most:
        raise UserError(
            f"--threads {options.threads}: at most {most}, {thread_limit.PER_CORE} times the cores here",
            f"metalassay {command} --threads {most // thread_limit.PER_CORE}",
        )
    if options.program == "transit":
        _check_own_curves(options)
    batch, parts = options.batch_size, options.accumulate
    if batch == "auto":
        _choose_batch(command, options)
    elif batch % parts:
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
    if options.background:
        options.max_cpu = options.max_cpu or background.MAX_CPU
        options.max_memory = options.max_memory or background.MAX_MEMORY
    prefix = background.prefix(sys.platform) if options.background else []
    return handover.launch(command, options, prefix)


def _run_by_questions(options: argparse.Namespace) -> int:
    """Ask what to train and run that command; without a terminal, it is the usage error that it was."""
    from metalassay.cli import quick_start

    if not quick_start.possible():
        options.refuse("the following arguments are required: program")
    words = quick_start.ask(sys.stdin.readline)
    print(quick_start.command_line(words), file=sys.stderr, flush=True)
    asked: argparse.Namespace = options.parse(words[1:])
    asked.argv = words
    return run(asked)


def _check_own_curves(options: argparse.Namespace) -> None:
    """Raise ``UserError`` unless the light curves and their ephemerides come together."""
    given = [name for name in ("data", "ephemeris", "predictions") if getattr(options, name)]
    if given and not {"data", "ephemeris"} <= set(given):
        lacking = "ephemeris" if "data" in given else "data"
        raise UserError(
            f"--{given[0]} needs --{lacking} too",
            "metalassay train transit --data DIR --ephemeris FILE",
        )
    if options.predictions:
        from metalassay.files import check_writable

        check_writable(options.predictions, "name another file with --predictions")


def _choose_batch(command: str, options: argparse.Namespace) -> None:
    """Replace "auto" by a number, unless the run to resume has one already."""
    if any(options.output.glob("step-*")):
        return
    from metalassay.cli import auto_batch

    choice = auto_batch.run(command, options)
    options.batch_size = choice.batch
    if options.progress != "quiet":
        print(f"--batch-size auto: {choice.batch}, {choice.why}", file=sys.stderr, flush=True)


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
  metalassay train transit --data curves/ --ephemeris candidates.csv

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
    group = parser.add_argument_group(
        "own light curves",
        "Trained on if they have labels; without, the synthetic ones are, and only predictions are made.",
    )
    group.add_argument(
        "--data",
        type=option_types.path,
        metavar="DIR",
        help="folder of light curves: CSV with time,flux, or FITS of Kepler and TESS",
    )
    group.add_argument(
        "--ephemeris",
        type=option_types.path,
        metavar="FILE",
        help="CSV with file,period,epoch,duration in days and, if known, label (1 or 0)",
    )
    group.add_argument(
        "--predictions",
        type=option_types.path,
        metavar="FILE",
        help="where to write a probability for each row (default: predictions.csv in --output)",
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
        type=option_types.count_or_auto,
        default=64,
        metavar="N",
        help="light curves per update; auto doubles them while the speed rises and the memory lasts",
    )
    recipe = _configure_recipe(parser, "0.0001")
    recipe.add_argument(
        "--label-smoothing",
        type=option_types.number(least=0, most=0.99),
        metavar="S",
        help="train on labels that are half of this away from 0 and 1 (default: 0)",
    )
    recipe.add_argument(
        "--mixup",
        type=option_types.number(least=0, most=100),
        metavar="ALPHA",
        help="train on blends of two light curves, with weights from Beta(ALPHA, ALPHA) (default: 0, no blends)",
    )
    recipe.add_argument(
        "--recipe",
        metavar="NAME",
        help="a set of these options, which the others replace one by one: guide, guide 002's stable-training"
        " configuration, or tuned, what the measurements support",
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
        "Train the mini GPT of guide 004 on dialogues or plain text of any size, with a tokenizer trained"
        " on the same text. Without --data: on 200 dialogues that come with the package."
    )
    parser.epilog = (
        """\
examples:
  metalassay train gpt --steps 200
  metalassay train gpt --size small --data dialogues.jsonl --test held_out.jsonl
  metalassay train gpt --layers 4 --heads 4 --width 128 --data texts/ --dry-run

"""
        + ENDING
    )
    parser.add_argument(
        "--size",
        choices=("tiny", "small", "original"),
        help="size of the model (default: tiny, or that of the run to resume)",
    )
    group = parser.add_argument_group("own sizes", "Each replaces the value of --size.")
    for name, metavar, least, text in (
        ("layers", "N", 1, "blocks of attention and perceptron"),
        ("heads", "N", 1, "attention heads; they share the width equally"),
        ("width", "N", 1, "channels between the blocks"),
        ("context", "N", 2, "tokens that the model sees at once"),
        ("vocabulary", "N", 1, "tokens that the tokenizer has at most"),
    ):
        group.add_argument(
            f"--{name}", type=option_types.whole(least, MOST_SIZE), metavar=metavar, help=text
        )
    group.add_argument(
        "--ignore-memory",
        action="store_true",
        help="start although the estimated memory exceeds this machine's",
    )
    parser.add_argument(
        "--data",
        type=option_types.path,
        metavar="PATH",
        help="dialogues in JSON lines, or plain text (.txt, .md), or a folder of both, to train on",
    )
    parser.add_argument(
        "--test",
        type=option_types.path,
        metavar="PATH",
        help="the same to evaluate on (default: dialogues of the package, or a 20th of the text)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first malformed line, instead of skipping",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.count_or_auto,
        default=8,
        metavar="N",
        help="windows of text per update; auto doubles them while the speed rises and the memory lasts",
    )
    parser.add_argument(
        "--prompt",
        type=option_types.words,
        default="What is a tide?",
        metavar="TEXT",
        help="prompt of the sample at each evaluation",
    )
    _configure_recipe(parser, "0.1")
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
    parser.add_argument(
        "--profile",
        nargs="?",
        type=option_types.count,
        const=10,
        metavar="STEPS",
        help="profile this many steps (10) after three of warm-up: a table by operator, and in the folder"
        " a trace for Perfetto; they enter no speed, and the result stays the same",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="measure a few steps, and print the memory and time that the run would take; write nothing",
    )
    config_file.add(parser)
    limits = limit_options.add(parser)
    limits.add_argument(
        "--background",
        action="store_true",
        help="leave the machine to you: the least priority (on a Mac the efficiency cores alone), and unless"
        f" given, --max-cpu {background.MAX_CPU:.0f} --max-memory {background.MAX_MEMORY:.0f}",
    )
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


def _configure_recipe(parser: argparse.ArgumentParser, weight_decay: str) -> Any:
    """Add the options of the recipe; without one, a training is what it is without this group. Return the group."""
    group = parser.add_argument_group(
        "recipe", "What each does to the transit classifier was measured: docs/recipe.md."
    )
    group.add_argument(
        "--schedule",
        choices=("one-cycle", "cosine", "constant"),
        help="of the learning rate (default: one-cycle)",
    )
    group.add_argument(
        "--warm-up",
        type=option_types.positive,
        metavar="N",
        help="steps in which the rate rises; below 1, a share of all (default: 0.1)",
    )
    group.add_argument(
        "--weight-decay",
        type=option_types.number(least=0, most=1),
        metavar="W",
        help=f"of AdamW (default: {weight_decay})",
    )
    group.add_argument(
        "--decay-groups",
        choices=("all", "matrices"),
        help="which weights decay: all, or not the biases and norms (default: all)",
    )
    group.add_argument(
        "--clip",
        type=option_types.number(least=0, most=1e9),
        metavar="NORM",
        help="largest norm of the gradients; 0 clips nothing (default: 1)",
    )
    group.add_argument(
        "--ema",
        type=option_types.number(least=0, most=0.999999),
        metavar="DECAY",
        help="evaluate with an exponential moving average of the weights; 0.999 is usual (default: none)",
    )
    group.add_argument(
        "--clear-cache",
        type=option_types.count,
        metavar="STEPS",
        help="give unused memory back to the GPU after this many steps; changes no result (default: never)",
    )
    return group


def _parts_near(batch: int, parts: int) -> str:
    """Return the numbers of equal parts next below and next above ``parts``."""
    divisors = [number for number in range(1, min(batch, MOST_PARTS) + 1) if batch % number == 0]
    below = max(number for number in divisors if number == 1 or number < parts)
    above = min((number for number in divisors if number > parts), default=None)
    return f"{below} or {above}" if above else f"{below}"
