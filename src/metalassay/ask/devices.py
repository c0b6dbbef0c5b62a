"""CPU or GPU: a training step on each device of this machine, at several batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from metalassay.ask import training_step
from metalassay.ask.contract import File
from metalassay.ask.pairs import Ratio, Timing, Turns
from metalassay.errors import UserError, reason
from metalassay.measure import device

BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Row:
    """One batch size: the time on each device, or why there is none, and the GPU's time over the CPU's."""

    batch_size: int
    timings: dict[str, Timing]
    failed: dict[str, str]
    ratio: Ratio | None = None


def here() -> dict[str, str]:
    """Return each kind of device, with why it cannot be used on this machine, "" where it can."""
    return {kind: device.unusable(kind) or "" for kind in ("cpu", "mps", "cuda")}


def ask(file: File, kinds: Sequence[str], batches: Sequence[int], budget: float) -> list[Row]:
    """Return a row for each batch size, timed in turns for ``budget`` seconds in all."""
    rows = []
    for batch_size in batches:
        steps, failed = {}, {}
        for kind in kinds:
            try:
                step = training_step.make(file, torch.device(kind), batch_size)
                step()
            except (UserError, RuntimeError, TypeError, NotImplementedError) as error:
                why = error.message if isinstance(error, UserError) else reason(error)
                failed[kind] = why[:200]
                continue
            steps[kind] = step
        turns = Turns(steps)
        if steps:
            turns.run(budget / len(batches))
        gpu = next((kind for kind in steps if kind != "cpu"), None)
        ratio = turns.ratio(gpu, "cpu") if gpu and "cpu" in steps else None
        rows.append(Row(batch_size, {kind: turns.timing(kind) for kind in steps}, failed, ratio))
    return rows


def crossover(rows: Sequence[Row]) -> int | None:
    """Return the smallest batch size from which on the GPU is faster at every size, None without one."""
    found = None
    for row in reversed(rows):
        if row.ratio is None or row.ratio.word != "faster":
            break
        found = row.batch_size
    return found
