"""The training loop: deterministic, resumable at any step, and the same for every workload.

The result depends on the task's configuration, the data source's position, the weights, the
optimiser, the scaler and torch's random state. A checkpoint contains them all, so on the CPU a run
that was killed and resumed ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metalassay.errors import UserError
from metalassay.fields import first_line
from metalassay.files import write_atomically
from metalassay.measure.device import empty_cache, set_rng_state, synchronize
from metalassay.supervise.step_profiler import StepProfiler
from metalassay.training import checkpoint, decay_groups, schedules
from metalassay.training.averaging import WeightAverage
from metalassay.training.config_check import require_same
from metalassay.training.divergence import (
    advise_lower_rate,
    require_finite,
    require_finite_weights,
    require_usable,
)
from metalassay.training.interrupt import Interrupt
from metalassay.training.run_folder import RunFolder, opened
from metalassay.training.run_log import LOG, RunLog
from metalassay.training.train_state import BatchSource, TrainState, differences
from metalassay.workloads.registry import DTYPES, Batch, require_autocast, require_grad_scaler


@dataclass(frozen=True)
class Task:
    """What is trained; ``config`` has every value that the result depends on, as JSON.

    ``loss`` takes the model and a batch on the device. ``evaluate`` returns metrics by name.
    ``files``, by name, are needed to use a checkpoint and written together with the first one.
    """

    config: Mapping[str, Any]
    model: nn.Module
    source: BatchSource
    loss: Callable[[nn.Module, Batch], Tensor]
    unit: str
    items_per_batch: int
    evaluate: Callable[[], Mapping[str, float]] | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How it is trained: ``steps`` updates of the weights, each from ``accumulate`` batches.

    ``momenta`` are the bounds of the first beta in one cycle; None leaves it unchanged. A ``clip`` of 0
    clips nothing. ``warm_up`` is a share of the steps below 1, else a number of them. ``ema`` is the decay
    of the averaged weights with which the model is evaluated; 0 averages nothing.
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
    schedule: str = schedules.ONE_CYCLE
    decay_groups: str = decay_groups.ALL
    ema: float = 0.0

    def described(self) -> dict[str, Any]:
        """Return the values by name, without the newest options where they have no effect.

        So a run that uses none of them has the checkpoint that it had before they existed.
        """
        values = asdict(self)
        for name, unused in _UNUSED.items():
            if values[name] == unused:
                del values[name]
        return values

    def rates(self) -> schedules.Schedule:
        """Return the schedule."""
        return schedules.make(self.schedule, self.peak_rate, self.steps, self.warm_up, self.momenta)


_UNUSED = {"schedule": schedules.ONE_CYCLE, "decay_groups": decay_groups.ALL, "ema": 0.0}


@dataclass(frozen=True)
class Progress:
    """A report after a step; ``speed`` is in the task's unit per second.

    ``speed`` is None if a CPU limiter paused the program since the last report, or if all steps since
    then were part of a profile; ``profiled`` is how many were. They are in neither ``seconds`` nor ``speed``.
    """

    step: int
    steps: int
    loss: float
    rate: float
    seconds: float
    speed: float | None
    figures: Mapping[str, float] = field(default_factory=dict)
    profiled: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a run ended; ``stopped_by`` is the signal if it did not reach its last step."""

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
    notify: Callable[[str], None] = lambda text: None,
    pace: Callable[[], float] = lambda: 0.0,
    profiler: StepProfiler | None = None,
    clear_cache_every: int = 0,
) -> Outcome:
    """Train ``task`` until the last step or the first Ctrl+C, and leave a checkpoint in ``folder``.

    ``checkpoint_every`` and ``evaluate_every`` count steps; 0 means only at the end. ``pace`` is
    called after each step and returns for how many seconds it has paused the program so far.
    ``profiler`` profiles steps after its warm-up, counted from where this process begins; the result is
    the same with and without it.
    ``clear_cache_every`` so many steps, memory that no tensor uses is given back to the device.
    A model with averaged weights has those at the end, unless the run was stopped.
    ``folder/log.jsonl`` gets a line for each report; the first one has the configuration too. ``notify`` receives messages for the user. A
    ``RunFolder`` has already been opened, and locked, by the caller; ``resume`` is then ignored.

    Raises ``UserError`` for a folder that already holds a run unless ``resume`` is set, for a
    configuration that differs from the checkpoint's, for a full disk, and for a loss, metric or weight
    that is not finite; none of those is ever written into a checkpoint.
    """
    require_supported(recipe, device)
    if isinstance(folder, Path):
        with opened(folder, resume, notify) as run_folder:
            return train(
                task,
                recipe,
                run_folder,
                device,
                checkpoint_every=checkpoint_every,
                evaluate_every=evaluate_every,
                report_every=report_every,
                report=report,
                notify=notify,
                pace=pace,
                profiler=profiler,
                clear_cache_every=clear_cache_every,
            )
    config, resumed = {**task.config, "recipe": recipe.described()}, folder.resumed
    last = None  # checkpoint
    if resumed:
        last = folder.path / f"step-{resumed.step:08d}"
        require_same(resumed.config, config, last)
    state = start(task, recipe, device)
    if resumed:
        _restore(state, resumed, last)
        notify(f"resumed at step {resumed.step} of {recipe.steps}")
        for line in differences(resumed):
            notify(f"the result will not be bit-identical to an uninterrupted run: {line}")
    if clear_cache_every and device.type == "cpu":
        notify("clearing the cache has no effect on cpu, which has none")
    cycle = recipe.rates()
    described: Mapping[str, Any] = {"config": config}
    meter = _Meter(task, recipe, state.step, pace)
    figures: Mapping[str, float] = {}
    files = {} if resumed else dict(task.files)

    def every(steps: int) -> bool:
        return state.step == recipe.steps or (bool(steps) and state.step % steps == 0)

    def save() -> Path:
        require_finite_weights(task.model, state.step, recipe.peak_rate)
        while files:
            name, content = files.popitem()
            write_atomically(folder.path / name, content)
        return checkpoint.save(folder.path, state.capture(config))

    with Interrupt() as interrupt, RunLog(folder.path / LOG, state.step) as log, _ended(profiler):
        while state.step < recipe.steps and interrupt.requested_by is None:
            state.optimizer.rate = cycle.rate(state.step)
            momentum = cycle.momentum(state.step)
            if momentum is not None:
                state.optimizer.betas = (momentum, recipe.betas[1])
            with meter.profiling(profiler, device):
                meter.losses.append(update(task, state, recipe))
            state.step += 1
            if clear_cache_every and state.step % clear_cache_every == 0:
                empty_cache(device)
            pace()
            evaluating = task.evaluate is not None and every(evaluate_every)
            saving = every(checkpoint_every) or interrupt.requested_by is not None
            if every(report_every) or evaluating or saving:
                loss, speed, seconds = meter.read(state.step)
                with state.averaged() if evaluating else contextlib.nullcontext():
                    figures = {}
                    if evaluating and interrupt.requested_by is None:
                        figures = _figures(task, recipe, state.step)
                    progress = Progress(
                        state.step,
                        recipe.steps,
                        loss,
                        state.optimizer.rate,
                        seconds,
                        speed,
                        figures,
                        meter.profiled,
                    )
                    log.add({**asdict(progress), **described})
                    described = {}
                    report(progress)
                meter.start(state.step)
            if saving or interrupt.requested_by is not None:
                last = save()
        if (
            last is None or last.name != f"step-{state.step:08d}"
        ):  # the signal arrived between two steps
            last = save()
        if profiler is not None:
            profiler.finish()  # after the checkpoint: nothing else is lost if it fails
        stopped = interrupt.requested_by if state.step < recipe.steps else None
        if stopped is None and not figures:  # an earlier process had finished the training
            with state.averaged():
                figures = _figures(task, recipe, state.step)
        if stopped is None and state.average:
            state.average.use()
    return Outcome(state.step, stopped, last, figures)


def require_supported(recipe: Recipe, device: torch.device) -> None:
    """Raise ``UserError`` for a dtype or a learning rate that cannot be used on ``device``."""
    if recipe.dtype != "float32":
        require_autocast(device, recipe.dtype)
    if recipe.dtype == "float16":
        require_grad_scaler(device)
    require_usable(recipe.peak_rate)


def start(task: Task, recipe: Recipe, device: torch.device) -> TrainState:
    """Move the model to ``device`` and return the state before the first step."""
    task.model.to(device).train()
    optimizer = decay_groups.make(
        recipe.decay_groups, task.model, recipe.weight_decay, recipe.betas
    )
    average = WeightAverage(task.model, optimizer, recipe.ema) if recipe.ema else None
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.dtype == "float16")
    set_rng_state(device, None, recipe.seed)
    return TrainState(task.model, optimizer, scaler, task.source, device, average=average)


def _restore(state: TrainState, saved: checkpoint.Checkpoint, path: Path | None) -> None:
    try:
        state.restore(saved)
    except (ValueError, KeyError, RuntimeError) as error:  # torch's own are RuntimeErrors
        raise UserError(
            f"{path} does not fit this run: {_misfit(error)}",
            "delete that folder and --resume from the one before, or start again in another --output folder",
        ) from error


def _misfit(error: Exception) -> str:
    missing = "it has no tensor " if isinstance(error, KeyError) else ""
    return missing + first_line(error)[:200]


class _Meter:
    """Measures the mean loss and the speed since the last report."""

    def __init__(self, task: Task, recipe: Recipe, step: int, pace: Callable[[], float]) -> None:
        self.items, self.rate = recipe.accumulate * task.items_per_batch, recipe.peak_rate
        self.pace = pace
        self.start(step)

    def start(self, step: int) -> None:
        self.losses: list[Tensor] = []
        self.profiled, self.left_out = 0, 0.0
        self.step, self.paused, self.began = step, self.pace(), time.perf_counter()

    @contextlib.contextmanager
    def profiling(self, profiler: StepProfiler | None, where: torch.device) -> Iterator[None]:
        """Tell the profiler of a step, and leave the step out of the speed if it is part of the profile."""
        if profiler is None or profiler.done:
            yield
            return
        measuring = profiler.measuring
        if measuring:
            synchronize(where)  # the steps before have to take their own time
        began = time.perf_counter()
        profiler.begin()
        yield
        profiler.end()
        if measuring:
            self.profiled += 1
            self.left_out += time.perf_counter() - began

    def read(self, step: int) -> tuple[float, float | None, float]:
        """Return the mean loss, the items per second and the seconds elapsed, without a profile's steps.

        There is no speed after a pause, and none of nothing but profiled steps.
        """
        # All losses in one transfer: each transfer waits for the device.
        loss = torch.stack(self.losses).mean().item()
        where = f"in the {len(self.losses)} steps before step {step}"
        require_finite({"loss": loss}, where, advise_lower_rate(self.rate))
        seconds = time.perf_counter() - self.began - self.left_out
        steps = step - self.step - self.profiled
        known = steps > 0 and self.pace() == self.paused
        return loss, steps * self.items / seconds if known else None, seconds


@contextlib.contextmanager
def _ended(profiler: StepProfiler | None) -> Iterator[None]:
    """Stop a profiler that still runs when the training ends by an error."""
    try:
        yield
    finally:
        if profiler is not None and not profiler.done:
            profiler.abandon()


def _figures(task: Task, recipe: Recipe, step: int) -> Mapping[str, float]:
    figures = evaluate(task)
    require_finite(figures, f"after step {step}", advise_lower_rate(recipe.peak_rate))
    return figures


def evaluate(task: Task) -> Mapping[str, float]:
    """Return the task's metrics, without dropout and without advancing the random state."""
    if task.evaluate is None:
        return {}
    task.model.eval()
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            return task.evaluate()
    finally:
        task.model.train()


def update(task: Task, state: TrainState, recipe: Recipe) -> Tensor:
    """Update the weights once and return the loss as a tensor on the device."""
    optimizer, scaler = state.optimizer, state.scaler
    optimizer.zero_grad()
    total = torch.zeros((), device=state.device)
    for _ in range(recipe.accumulate):
        batch = task.source.next().to(state.device)
        with _precision(state.device, recipe.dtype):
            loss = task.loss(task.model, batch) / recipe.accumulate
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    scaler.unscale_(optimizer)  # type: ignore[arg-type]
    if recipe.clip:
        optimizer.clip(recipe.clip)
    scaler.step(optimizer)  # type: ignore[arg-type]
    scaler.update()
    if state.average:
        state.average.update()
    return total


def _precision(device: torch.device, dtype: str) -> contextlib.AbstractContextManager[object]:
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[dtype])
