"""The commands ``train``, ``generate`` and ``evaluate``, with the options of the command line."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from metalassay import device
from metalassay.files import write_atomically
from metalassay.training import transit
from metalassay.training.allocator import keep_freed_memory
from metalassay.training.governor import Governor
from metalassay.training.loop import Outcome, Recipe, Task, train
from metalassay.training.progress import Display, Monitor

STOPPED = 130
RESULT = "result.json"

Options = Mapping[str, Any]


def train_transit(options: Options) -> int:
    """Train the transit classifier and judge it on stars that it has not seen."""
    keep_freed_memory()
    size, seed, batch = options["size"], options["seed"], options["batch_size"]
    sets = transit.make(seed, options["curves"])
    accumulate = options["accumulate"]
    task = transit.task(size, sets, options["curves"], batch // accumulate, seed, accumulate)
    epoch = max(task.source.batches // accumulate, 1)  # type: ignore[attr-defined]
    recipe = Recipe(
        steps=options["steps"] or epoch * options["epochs"],
        peak_rate=options["learning_rate"] or transit.PEAK_RATES[size],
        accumulate=accumulate,
        dtype=options["dtype"],
        seed=seed,
    )

    def judge() -> Mapping[str, float]:
        tested = sets["test"]
        score = transit.scores(task.model, tested)
        return {"test_auc": transit.auc(score, tested.planet.numpy())}

    return _train(task, recipe, options, epoch, judge)


def _train(
    task: Task,
    recipe: Recipe,
    options: Options,
    epoch: int,
    judge: Callable[[], Mapping[str, float]] | None,
) -> int:
    """Run ``task``, checkpoint every ``epoch`` steps, and print or write what came out of it."""
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    where = device.resolve(options["device"])
    folder = Path(options["output"])
    with _watched(options, task, recipe, folder) as (display, governor):
        parameters = sum(each.numel() for each in task.model.parameters())
        display.say(
            f"{parameters:,} parameters on {where.type} ({device.name(where)}), in {folder}"
        )
        outcome = train(
            task,
            recipe,
            folder,
            where,
            resume=options["resume"],
            checkpoint_every=options["checkpoint_every"] or epoch,
            evaluate_every=options["evaluate_every"] or epoch,
            report_every=options["report_every"],
            report=display.show,
            say=display.say,
            pace=governor.pace if governor else lambda: 0.0,
        )
    if outcome.stopped_by:
        again = [*options["argv"], *([] if options["resume"] else ["--resume"])]
        print(
            f"metalassay: {outcome.stopped_by}: stopped after step {outcome.step} of"
            f" {recipe.steps}; all of it is in {outcome.checkpoint}\n"
            f"  next: {shlex.join(['metalassay', *again])}",
            file=sys.stderr,
        )
        return STOPPED
    task.model.eval()
    with torch.inference_mode():
        figures = {**outcome.figures, **(judge() if judge else {})}
    _finish(options, folder, outcome, figures)
    return 0


def _finish(options: Options, folder: Path, outcome: Outcome, figures: Mapping[str, float]) -> None:
    result = {"steps": outcome.step, "checkpoint": str(outcome.checkpoint), **figures}
    write_atomically(folder / RESULT, json.dumps(result, indent=1) + "\n")
    if options["progress"] == "json":
        print(json.dumps(result), flush=True)
    else:
        for name, value in result.items():
            said = f"{value:.4f}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' ')}: {said}")


@contextlib.contextmanager
def _watched(
    options: Options, task: Task, recipe: Recipe, folder: Path
) -> Iterator[tuple[Display, Governor | None]]:
    """Show progress, write the monitor's log, and hold the program back, as the options say."""
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(Display(options["progress"], recipe.steps, task.unit))
        governor = None
        if options["max_cpu"] or options["max_memory"]:
            # The loop calls pace() itself: no signal has to break into a step.
            governor = Governor(
                (options["max_cpu"] or 100) / 100,
                (options["max_memory"] or 100) / 100,
                say=display.say,
                signals=False,
            )
            stack.enter_context(governor)
        if options["monitor"]:
            path = folder / "monitor.jsonl"
            extra = (lambda: asdict(governor.state())) if governor else dict
            stack.enter_context(Monitor(path, options["monitor"], extra))
        yield display, governor


COMMANDS: Mapping[str, Callable[[Options], int]] = {"train transit": train_transit}
