"""Say what a training would take and write, from a few real steps; nothing is written."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from metalassay.errors import UserError
from metalassay.measure import device
from metalassay.training import checkpoint, loop
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.gpt.shape import NUMBER
from metalassay.training.loop import Recipe, Task
from metalassay.training.run_folder import RESULT
from metalassay.training.run_log import LOG

WARM_UP = 2  # steps that are run first and not counted
MOST_STEPS, MOST_SECONDS = 10, 20.0  # the steps end with the one that reaches either
SAVED = 3  # vectors as long as the weights in a checkpoint: they and the two moments, and an average if asked for


@dataclass(frozen=True)
class Steps:
    """The times of the measured steps in seconds, and the bytes by which they raised the memory in use.

    ``memory`` is that of the device, or on the CPU of this process; None where it is not known.
    """

    seconds: tuple[float, ...]
    memory: int | None

    @property
    def median(self) -> float:
        """Return the median of the times."""
        return statistics.median(self.seconds)


def measure(task: Task, recipe: Recipe, where: torch.device) -> Steps:
    """Run a few steps of ``task`` and return their times; the task is used up by that."""
    before = _in_use(where, peak=False)
    state = loop.start(task, recipe, where)
    state.optimizer.rate = recipe.rates().rate(0)
    seconds: list[float] = []
    for number in range(WARM_UP + MOST_STEPS):
        began = time.perf_counter()
        loop.update(task, state, recipe)
        device.synchronize(where)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
        if seconds and sum(seconds) >= MOST_SECONDS:
            break
    after = _in_use(where, peak=True)
    rise = None if before is None or after is None else max(after - before, 0)
    return Steps(tuple(seconds), rise)


def _in_use(where: torch.device, *, peak: bool) -> int | None:
    found = device.memory(where)
    if where.type != "cpu":
        return found["driver"]
    return found["peak_rss"] if peak else int(psutil.Process().memory_info().rss)


@dataclass(frozen=True)
class Plan:
    """What is known before the steps: ``model`` describes the model, ``memory`` has bytes by their use.

    ``preparation`` are seconds before the first step that are estimated from a part of that work, and
    ``scale`` is how much larger the evaluation is than the one that is measured.
    """

    model: str
    memory: Mapping[str, int]
    checkpoint_every: int
    evaluate_every: int
    report_every: int
    preparation: float = 0.0
    scale: float = 1.0


def run(
    task: Task,
    recipe: Recipe,
    folder: Path,
    where: torch.device,
    plan: Plan,
    *,
    as_json: bool,
    others: Mapping[Path, str],
    done: int = 0,
) -> int:
    """Measure, print, and return the exit code.

    ``others`` are more files, with when each is written; ``done`` steps are in the checkpoint to resume.
    """
    loop.require_supported(recipe, where)
    steps = measure(task, recipe, where)
    left = max(recipe.steps - done, 0)
    evaluation, evaluations = 0.0, 0
    if task.evaluate is not None:
        began = time.perf_counter()
        loop.evaluate(task)
        evaluation = (time.perf_counter() - began) * plan.scale
        evaluations = _times(done, recipe.steps, plan.evaluate_every)
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    saved = (SAVED + bool(recipe.ema)) * NUMBER * parameters
    document = {
        "parameters": parameters,
        "model": plan.model,
        "memory_estimate": sum(plan.memory.values()),
        "memory_estimate_by_use": dict(plan.memory),
        "memory_measured": steps.memory,
        "device": where.type,
        "device_name": device.name(where),
        "seconds_per_step": steps.median,
        "steps_measured": len(steps.seconds),
        "steps": left,
        "seconds_per_evaluation": evaluation,
        "evaluations": evaluations,
        "seconds_estimate": plan.preparation + left * steps.median + evaluations * evaluation,
        "writes": _writes(task, folder, saved, plan, others),
    }
    if as_json:
        print(json.dumps(document, allow_nan=False))
    else:
        print("\n".join(_lines(document, steps, plan)))
    return 0


def _times(done: int, steps: int, every: int) -> int:
    """Return how often something happens that happens every so many steps and after the last."""
    if done >= steps:
        return 0
    return steps // every - done // every + (1 if steps % every else 0)


def _writes(
    task: Task, folder: Path, saved: int, plan: Plan, others: Mapping[Path, str]
) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = [
        {"path": str(folder / name), "bytes": len(content.encode()), "when": "once"}
        for name, content in task.files.items()
    ]
    files.append(
        {
            "path": str(folder / "step-N"),
            "bytes": saved,
            "when": f"every {plan.checkpoint_every} steps and at the end; the newest two are kept",
        }
    )
    files.append(
        {"path": str(folder / LOG), "when": f"a line at least every {plan.report_every} steps"}
    )
    files.append({"path": str(folder / RESULT), "when": "at the end"})
    files += [{"path": str(path), "when": when} for path, when in others.items()]
    return files


def _lines(document: Mapping[str, Any], steps: Steps, plan: Plan) -> list[str]:
    parts = ", ".join(f"{use} {size(count)}" for use, count in plan.memory.items())
    measured = "not known on this device"
    if steps.memory is not None:
        measured = f"{size(steps.memory)} more than before the steps"
    low, high = min(steps.seconds), max(steps.seconds)
    total = f"about {clock(document['seconds_estimate'])} for {document['steps']:,} steps"
    if document["evaluations"]:
        total += f" and {document['evaluations']} evaluations (1 was measured)"
    if plan.preparation:
        total += f", with {clock(plan.preparation)} before the first step"
    lines = [
        "dry run: nothing is written",
        f"model: {document['parameters']:,} parameters; {plan.model}",
        f"memory, estimated: at least {size(document['memory_estimate'])} ({parts})",
        f"memory, measured: {measured}",
        f"device: {document['device']} ({document['device_name']})",
        f"time per step, measured: {steps.median * 1e3:.4g} ms, the median of {len(steps.seconds)}"
        f" steps after {WARM_UP} that are not counted ({low * 1e3:.4g} to {high * 1e3:.4g} ms)",
        f"total time, estimated: {total}",
        "would write:",
    ]
    for each in document["writes"]:
        amount = f"about {size(each['bytes'])}, " if "bytes" in each else ""
        lines.append(f"  {each['path']}: {amount}{each['when']}")
    return lines


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits, of powers of 1000."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count} bytes"


def clock(seconds: float) -> str:
    """Return ``seconds`` as a time for people, rounded up to its smallest unit."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:,.1f} h"


def require_memory(needed: int, where: torch.device, smaller: str, *, insist: bool) -> None:
    """Raise ``UserError`` if ``needed`` bytes exceed what ``where`` has; with ``insist``, never.

    ``smaller`` names the options that reduce it.
    """
    capacity = device.capacity(where)
    if needed > capacity and not insist:
        owner = "the GPU" if where.type == "cuda" else "this machine"
        raise UserError(
            f"this training needs at least {size(needed)} of memory, and {owner} has {size(capacity)}",
            f"choose a smaller {smaller}; --ignore-memory starts it anyway",
        )


def resumed(folder: Path, *, resume: bool, notify: Callable[[str], None]) -> Checkpoint | None:
    """Return the checkpoint that a run in ``folder`` would resume from, without locking it.

    Raises ``UserError`` as the real run would for a folder that already holds a run.
    """
    if resume:
        return checkpoint.newest(folder, notify)
    if folder.is_dir() and any(folder.glob("step-*")):
        raise UserError(
            f"{folder} already holds a run", "continue it with --resume, or choose another --output"
        )
    return None
