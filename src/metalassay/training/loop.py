"""The training loop: deterministic, resumable at any step, and the same for every workload.

All that decides the result is in the task's configuration, the data source's position, the weights,
the optimiser, the scaler and torch's random numbers; a checkpoint holds them all, so a run that was
killed and resumed on the CPU ends with the same bits as one that was not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metalassay.files import write_atomically
from metalassay.measure.device import set_rng_state
from metalassay.training import checkpoint
from metalassay.training.config_check import require_same
from metalassay.training.divergence import (
    lower,
    require_finite,
    require_finite_weights,
    require_usable,
)
from metalassay.training.interrupt import Interrupt
from metalassay.training.optimizer import FlatAdamW, OneCycle
from metalassay.training.run_folder import RunFolder, opened
from metalassay.training.run_log import LOG, RunLog
from metalassay.training.train_state import Running, Source, differences
from metalassay.workloads.registry import DTYPES, Batch, require_autocast, require_grad_scaler


@dataclass(frozen=True)
class Task:
    """What is trained; ``config`` holds every value that decides the result, all JSON.

    ``loss`` takes the model and a batch on the device. ``evaluate`` returns figures by name.
    ``files``, by name, are what a checkpoint cannot be used without: the first one comes with them.
    """

    config: Mapping[str, Any]
    model: nn.Module
    source: Source
    loss: Callable[[nn.Module, Batch], Tensor]
    unit: str
    items_per_batch: int
    evaluate: Callable[[], Mapping[str, float]] | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How it is trained. ``steps`` are updates of the weights, of ``accumulate`` batches each.

    ``momenta`` are the bounds between which the schedule moves the first beta; None leaves it alone.
    """

    steps: int
    peak_rate: float
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    momenta: tuple[float, float] | None = None
    clip: float = 1.0
    accumulate: int = 1
    warm_up: float = 0.1
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """What is known after a step that is reported; ``speed`` in the task's unit a second.

    ``speed`` is None where a governor held the program back in between: that is no speed.
    """

    step: int
    steps: int
    loss: float
    rate: float
    seconds: float
    speed: float | None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended; ``stopped_by`` names the signal if it did not reach its last step."""

    step: int
    stopped_by: str | None
    checkpoint: Path
    figures: Mapping[str, float]


def train(
    task: Task,
    recipe: Recipe,
    folder: Path | RunFolder,
    device: torch.device,
    *,
    resume: bool = False,
    checkpoint_every: int = 0,
    evaluate_every: int = 0,
    report_every: int = 10,
    report: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
    pace: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    """Train ``task`` to the last step or to the first Ctrl+C, and leave a checkpoint in ``folder``.

    ``checkpoint_every`` and ``evaluate_every`` count steps, 0 means at the end alone. ``pace`` is
    called after each step and returns the seconds it has held the program back so far.
    ``folder/log.jsonl`` gets a line for each report. Raises ``UserError`` for a folder that already
    holds a run unless ``resume``, for a configuration that does not fit it, for a full disk, and for
    a loss, a figure or a weight that is not finite: no checkpoint holds one.

    A ``RunFolder`` is one that the caller has opened, with ``resume``, and holds.
    """
    if recipe.dtype != "float32":
        require_autocast(device, recipe.dtype)
    if recipe.dtype == "float16":
        require_grad_scaler(device)
    require_usable(recipe.peak_rate)
    if isinstance(folder, Path):
        with opened(folder, resume, say) as held:
            return train(
                task,
                recipe,
                held,
                device,
                checkpoint_every=checkpoint_every,
                evaluate_every=evaluate_every,
                report_every=report_every,
                report=report,
                say=say,
                pace=pace,
            )
    config, found = {**task.config, "recipe": asdict(recipe)}, folder.found
    last = None  # checkpoint
    if found:
        last = folder.path / f"step-{found.step:08d}"
        require_same(found.config, config, last)
    task.model.to(device).train()
    optimizer = FlatAdamW(task.model, recipe.weight_decay, recipe.betas)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.dtype == "float16")
    running = Running(task.model, optimizer, scaler, task.source, device)
    set_rng_state(device, None, recipe.seed)
    if found:
        running.restore(found)
        say(f"resumed at step {found.step} of {recipe.steps}")
        for line in differences(found):
            say(f"not bit-identical to an uninterrupted run: {line}")
    cycle = OneCycle(recipe.peak_rate, recipe.steps, recipe.warm_up, momenta=recipe.momenta)
    meter = _Meter(task, recipe, running.step, pace)
    figures: Mapping[str, float] = {}
    files = {} if found else dict(task.files)

    def every(steps: int) -> bool:
        return running.step == recipe.steps or (bool(steps) and running.step % steps == 0)

    def save() -> Path:
        require_finite_weights(task.model, running.step, recipe.peak_rate)
        while files:
            name, content = files.popitem()
            write_atomically(folder.path / name, content)
        return checkpoint.save(folder.path, running.capture(config))

    with Interrupt() as interrupt, RunLog(folder.path / LOG, running.step) as log:
        while running.step < recipe.steps and interrupt.asked is None:
            optimizer.rate = cycle.rate(running.step)
            momentum = cycle.momentum(running.step)
            if momentum is not None:
                optimizer.betas = (momentum, recipe.betas[1])
            meter.losses.append(_step(task, running, recipe))
            running.step += 1
            pace()
            evaluating = task.evaluate is not None and every(evaluate_every)
            saving = every(checkpoint_every) or interrupt.asked is not None
            if every(report_every) or evaluating or saving:
                loss, speed, seconds = meter.read(running.step)
                figures = {}
                if evaluating and interrupt.asked is None:
                    figures = _figures(task, recipe, running.step)
                at = Progress(
                    running.step, recipe.steps, loss, optimizer.rate, seconds, speed, figures
                )
                log.add(asdict(at))
                report(at)
                meter.start(running.step)
            if saving or interrupt.asked is not None:
                last = save()
        if last is None or last.name != f"step-{running.step:08d}":  # asked between two steps
            last = save()
        stopped = interrupt.asked if running.step < recipe.steps else None
        if stopped is None and not figures:  # it had been trained to the end before
            figures = _figures(task, recipe, running.step)
    return Outcome(running.step, stopped, last, figures)


class _Meter:
    """Mean loss and speed since the last report."""

    def __init__(self, task: Task, recipe: Recipe, step: int, pace: Callable[[], float]) -> None:
        self.items, self.rate = recipe.accumulate * task.items_per_batch, recipe.peak_rate
        self.pace = pace
        self.start(step)

    def start(self, step: int) -> None:
        self.losses: list[Tensor] = []
        self.step, self.held, self.began = step, self.pace(), time.perf_counter()

    def read(self, step: int) -> tuple[float, float | None, float]:
        """Return the loss, items a second or None if held back, and the seconds since the start."""
        # Read from the device all at once: each reading waits for it.
        loss = torch.stack(self.losses).mean().item()
        where = f"in the {len(self.losses)} steps before step {step}"
        require_finite({"loss": loss}, where, lower(self.rate))
        seconds = time.perf_counter() - self.began
        free = self.pace() == self.held
        return loss, (step - self.step) * self.items / seconds if free else None, seconds


def _figures(task: Task, recipe: Recipe, step: int) -> Mapping[str, float]:
    figures = evaluate(task)
    require_finite(figures, f"after step {step}", lower(recipe.peak_rate))
    return figures


def evaluate(task: Task) -> Mapping[str, float]:
    """Return the task's figures; dropout is off meanwhile, and no random number is used up."""
    if task.evaluate is None:
        return {}
    task.model.eval()
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            return task.evaluate()
    finally:
        task.model.train()


def _step(task: Task, running: Running, recipe: Recipe) -> Tensor:
    """Update the weights once; return the loss, still on the device."""
    optimizer, scaler = running.optimizer, running.scaler
    optimizer.zero_grad()
    total = torch.zeros((), device=running.device)
    for _ in range(recipe.accumulate):
        batch = task.source.next().to(running.device)
        with _precision(running.device, recipe.dtype):
            loss = task.loss(task.model, batch) / recipe.accumulate
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    scaler.unscale_(optimizer)  # type: ignore[arg-type]
    optimizer.clip(recipe.clip)
    scaler.step(optimizer)  # type: ignore[arg-type]
    scaler.update()
    return total


def _precision(device: torch.device, dtype: str) -> contextlib.AbstractContextManager[object]:
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[dtype])
