"""The commands ``train rlhf ...``, which take the options of the command line."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from metalassay import files
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.measure import device
from metalassay.training import status_line
from metalassay.training.interrupt import Interrupt
from metalassay.training.rlhf import libraries, stage, trainers
from metalassay.training.run_folder import RESULT, locked

STOPPED = 130
STEPS = {"sft": 200, "reward": 300, "dpo": 100, "ppo": 50, "grpo": 200}

Options = Mapping[str, Any]


def train(options: Options) -> int:
    """Train with TRL as the options say; return the exit code."""
    where = device.resolve(options["device"])
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    folder = Path(options["output"])
    with libraries.explained(), locked(folder), libraries.offline_and_quiet():
        if options["stage"] == "chain":
            return _chain(options, folder, where)
        return _single(options, folder, where)


def _single(options: Options, folder: Path, where: torch.device) -> int:
    kind = options["stage"]
    if kind == "ppo" and options["resume"] and not (folder / RESULT).is_file():
        raise UserError(
            "PPO of TRL cannot be resumed: it has no checkpoints to continue from",
            "start it again in another --output folder",
        )
    outcome = _stage(options, kind, folder, where, options["start"], options["critic"])
    if outcome.stopped_at is not None:
        return _stopped(options, folder, outcome.stopped_at)
    _show(options, outcome.result)
    return 0


def _chain(options: Options, folder: Path, where: torch.device) -> int:
    """Run SFT, a reward model and PPO, each from what the one before left; GRPO where there is no PPO."""
    last = "ppo" if trainers.has("ppo") else "grpo"
    if last == "grpo":
        trainers.trainer_class("grpo")
        version = versions.installed()["trl"]
        _say(options, f"TRL {version} has no PPO; the chain ends with GRPO")
    begun = (folder / stage.SETTINGS).is_file()
    if begun and not options["resume"]:
        raise UserError(
            f"{folder} already holds a run", "continue it with --resume, or choose another --output"
        )
    if options["resume"] and not begun:
        raise UserError(
            f"nothing to resume in {folder}: no chain was begun in it",
            "start the run: the same command without --resume",
        )
    files.write_atomically(folder / stage.SETTINGS, json.dumps({"stages": [*_STAGES, last]}) + "\n")
    results: dict[str, Any] = {}
    for kind in [*_STAGES, last]:
        start = None if kind == "sft" else folder / "sft"
        critic = folder / "reward" if kind == last else None
        place = folder / kind
        can_resume = (place / RESULT).is_file() or stage.newest_checkpoint(place) is not None
        _say(options, f"{kind}: {'resuming' if can_resume else 'starting'} in {place}")
        outcome = _stage(options, kind, place, where, start, critic, resume=can_resume)
        if outcome.stopped_at is not None:
            return _stopped(options, folder, outcome.stopped_at, kind)
        _show(options, outcome.result)
        results[kind] = outcome.result
    files.write_atomically(folder / RESULT, json.dumps(results, indent=1) + "\n")
    return 0


_STAGES = ["sft", "reward"]


def _stage(
    options: Options,
    kind: str,
    folder: Path,
    where: torch.device,
    start: Any,
    critic: Any,
    resume: bool | None = None,
) -> stage.Outcome:
    steps = options["steps"] or STEPS[kind]
    plan = stage.Plan(
        trainer=kind,
        size=options["size"],
        steps=steps,
        batch=options["batch_size"],
        learning_rate=options["learning_rate"] or trainers.RATES[kind],
        seed=options["seed"],
        prompts=options["prompts"],
        start=Path(start) if start else None,
        critic=Path(critic) if critic else None,
    )

    def report(step: int, figures: dict[str, float]) -> None:
        if kind == "ppo" and step % options["report_every"]:
            return  # PPO logs each step
        if options["progress"] == "json":
            line = json.dumps({"trainer": kind, "step": step, "steps": steps, **figures})
            print(line, file=real_output, flush=True)
        elif shown := _brief(figures):
            _say(options, f"{kind} step {step}/{steps}: {shown}")

    real_output = sys.stdout
    interrupt = Interrupt()
    # PPO can neither save nor stop between two steps: there the first signal already ends it.
    catching = contextlib.nullcontext() if kind == "ppo" else interrupt
    # PPO announces its phases on standard output, which is that of the result.
    with catching, io.StringIO() as unread, contextlib.redirect_stdout(unread):
        return stage.run(
            plan,
            folder,
            where,
            resume=options["resume"] if resume is None else resume,
            save_every=None if kind == "ppo" else options["checkpoint_every"] or max(steps // 5, 1),
            log_every=options["report_every"],
            report=report,
            stop=lambda: interrupt.requested_by is not None,
        )


_SHOWN = ("loss", "reward", "scores", "objective/scores", "accuracy", "rewards/accuracies", "kl")


def _brief(figures: Mapping[str, float]) -> str:
    """Return those of the logged figures that a person reads; nothing at the end, when times are logged."""
    return ", ".join(f"{name} {figures[name]:.4g}" for name in _SHOWN if name in figures)


def _say(options: Options, text: str) -> None:
    if options["progress"] == "bar":
        status_line.write(text)


def _stopped(options: Options, folder: Path, step: int, kind: str | None = None) -> int:
    command = [*options["argv"], *([] if options["resume"] else ["--resume"])]
    within = f" of {kind}" if kind else ""
    print(
        f"metalassay: stopped after step {step}{within}; the checkpoint is in {folder}\n"
        f"  next: {shlex.join(['metalassay', *command])}",
        file=sys.stderr,
    )
    return STOPPED


def _show(options: Options, result: Mapping[str, Any]) -> None:
    if options["progress"] == "json":
        print(json.dumps(result), flush=True)
        return
    versions_of = result["versions"]
    print(
        f"{result['trainer']}: {result['steps']} steps, {result['parameters']:,} parameters on"
        f" {result['device']}, TRL {versions_of['trl']}, transformers {versions_of['transformers']}"
    )
    for name, after in result["after"].items():
        print(f"  {name.replace('_', ' ')}: {result['before'][name]:.4f} -> {after:.4f}")
    if result["steps_per_second"]:
        print(
            f"  {result['steps_per_second']:.1f} steps/s,"
            f" {result['tokens_per_second']:,.0f} tokens/s, over {result['timed_steps']} steps"
        )
    for kind, held in result["peak_memory"].items():
        print(f"  {_MEMORY[kind]}: {held / 2**20:,.0f} MiB")


_MEMORY: Mapping[str, str] = {
    "peak_rss": "peak memory of the process",
    "live": "most held by tensors at the end of a step",
    "driver": "most held by the driver at the end of a step",
}
