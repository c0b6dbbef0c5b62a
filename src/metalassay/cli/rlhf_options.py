"""The options of `metalassay train rlhf`: SFT, reward model, DPO, PPO and GRPO with TRL."""

from __future__ import annotations

import argparse
from pathlib import Path

from metalassay.cli import config_file, handover, option_types
from metalassay.environment import extras
from metalassay.errors import UserError
from metalassay.machine import thread_limit

MOST_PROMPTS = 24**3 - 64  # as many as there are, less those to evaluate on
MOST_BATCH = 2**16
GENERATIONS = 4

STAGES = {
    "sft": "fine-tune on right answers",
    "reward": "train a reward model on pairs of a right and a wrong answer",
    "dpo": "fine-tune on such pairs by DPO, without a reward model",
    "ppo": "train against a reward model by PPO",
    "grpo": "train against a rule or a reward model by GRPO",
    "chain": "SFT, then a reward model, then PPO, or GRPO where TRL has no PPO",
}

ENDING = """\
Ctrl+C once finishes the step and saves a checkpoint, from which --resume continues. PPO has no checkpoints
in any release of TRL: it is stopped at once, and a chain that is resumed begins it again.

exit code: 0 done, 2 bad input, or a TRL without this trainer, 130 stopped by Ctrl+C or SIGTERM"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the stages, each with its options."""
    parser.usage = "metalassay train rlhf STAGE [options]"
    parser.description = (
        "Train tiny Llamas with the release of TRL that is installed (0.8 or newer), on data made from a"
        " seed: to say three words again. Nothing is downloaded. What each kind of training costs here is"
        " measured, and what it changes."
    )
    lines = [f"  {name:<8} {what}" for name, what in STAGES.items()]
    parser.epilog = (
        "stages:\n"
        + "\n".join(lines)
        + """

examples:
  metalassay train rlhf chain
  metalassay train rlhf grpo --start runs/rlhf-sft --steps 50
  metalassay train rlhf chain --resume

"""
        + ENDING
    )
    stages = parser.add_subparsers(
        required=True,
        parser_class=config_file.Parser,
        prog="metalassay train rlhf",
        metavar="stage",
        dest="stage",
        help=argparse.SUPPRESS,
    )
    for name, what in STAGES.items():
        _configure_stage(name, stages.add_parser(name, help=what), what)


def _configure_stage(name: str, parser: argparse.ArgumentParser, what: str) -> None:
    parser.description = f"With TRL, a tiny Llama and data made from a seed: {what}."
    start = " --start runs/rlhf-sft" if name in ("reward", "dpo", "grpo") else ""
    if name == "ppo":
        start = " --start runs/rlhf-sft --reward-model runs/rlhf-reward"
    parser.epilog = (
        f"examples:\n  metalassay train rlhf {name}{start}\n"
        f"  metalassay train rlhf {name}{start} --seed 1 --device mps\n\n{ENDING}"
    )
    if name not in ("sft", "chain"):
        parser.add_argument(
            "--start",
            type=option_types.folder,
            metavar="RUN",
            help="folder of the SFT whose model to start from (default: random weights)",
        )
    if name in ("ppo", "grpo"):
        parser.add_argument(
            "--reward-model",
            dest="critic",
            type=option_types.folder,
            metavar="RUN",
            required=name == "ppo",
            help="folder of the reward model that scores the answers"
            + ("" if name == "ppo" else " (default: a rule does)"),
        )
    parser.add_argument(
        "--size",
        choices=("tiny", "small"),
        default="tiny",
        help="2 layers of 64 channels, or 4 of 256; that of --start comes first",
    )
    steps = "for each stage " if name == "chain" else ""
    parser.add_argument(
        "--steps",
        type=option_types.count,
        metavar="N",
        help=f"updates of the weights {steps}(default: by stage)",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.whole(1, MOST_BATCH),
        default=16,
        metavar="N",
        help="examples per update; for GRPO answers, four to each prompt",
    )
    parser.add_argument(
        "--prompts",
        type=option_types.whole(1, MOST_PROMPTS),
        default=2000,
        metavar="N",
        help="different prompts to train on",
    )
    parser.add_argument(
        "--learning-rate",
        type=option_types.positive,
        metavar="RATE",
        help="learning rate at the start (default: by stage)",
    )
    parser.add_argument(
        "--seed",
        type=option_types.whole(0, 2**32 - 1),  # what transformers gives to numpy
        default=0,
        metavar="N",
        help="seed of weights, data and generation",
    )
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="where to train; auto is the first that works of mps, cuda and cpu",
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
        default=Path(f"runs/rlhf-{name}"),
        metavar="DIR",
        help="folder for checkpoints, the model and the result",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the newest checkpoint in the folder"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=option_types.count,
        metavar="STEPS",
        help="save a checkpoint after this many steps (default: a fifth of them)",
    )
    parser.add_argument(
        "--report-every",
        type=option_types.count,
        default=10,
        metavar="STEPS",
        help="print a line after this many steps",
    )
    config_file.add(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--quiet",
        dest="progress",
        action="store_const",
        const="quiet",
        help="print the result only",
    )
    shown.add_argument(
        "--json",
        dest="progress",
        action="store_const",
        const="json",
        help="print progress and result as JSON lines",
    )
    parser.set_defaults(progress="bar", start=None, critic=None)


def run(options: argparse.Namespace) -> int:
    """Start the training, after checking what no option can check alone."""
    command = f"train rlhf {options.stage}"
    extras.require(command, "rlhf", "torch", "transformers", "accelerate", "datasets", "trl")
    most = thread_limit.maximum()
    if (options.threads or 0) > most:
        raise UserError(
            f"--threads {options.threads}: at most {most}, {thread_limit.PER_CORE} times the cores here",
            f"metalassay {command} --threads {most // thread_limit.PER_CORE}",
        )
    if options.stage in ("grpo", "chain") and options.batch_size % GENERATIONS:
        batch = max(options.batch_size - options.batch_size % GENERATIONS, GENERATIONS)
        raise UserError(
            f"--batch-size {options.batch_size}: GRPO compares {GENERATIONS} answers to each prompt",
            f"--batch-size {batch}",
        )
    for run in (options.start, options.critic):
        if run is not None and options.output.absolute() == run.absolute():
            raise UserError(
                f"{run} holds a model that is read, which stays as it is", "choose another --output"
            )
    return handover.launch("train rlhf", options)
