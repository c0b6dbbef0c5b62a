"""float32, bfloat16 and float16 by autocast: the speed, memory and error of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metalassay.ask import training_step
from metalassay.ask.contract import SEED, File, without_dropout
from metalassay.ask.pairs import Ratio, Timing, Turns
from metalassay.errors import UserError, reason
from metalassay.measure import device
from metalassay.workloads.registry import require_autocast, require_grad_scaler

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Row:
    """One dtype: ``why`` it could not be tried, or its figures.

    ``kept`` are the bytes that the forward pass keeps for the backward pass. The errors are those of the loss
    and of all gradients as one vector, by its length, relative to float64; NaN where a number is missing on one
    side.
    """

    dtype: str
    why: str = ""
    timing: Timing | None = None
    ratio: Ratio | None = None
    kept: int | None = None
    loss_error: float | None = None
    gradient_error: float | None = None


def ask(file: File, where: torch.device, batch_size: int, budget: float) -> list[Row]:
    """Return a row for each dtype, timed in turns for ``budget`` seconds."""
    try:
        exact = _gradients(file, torch.device("cpu"), batch_size, "float64")
    except (RuntimeError, TypeError, UserError):
        exact = _gradients(file, torch.device("cpu"), batch_size, "float32")
    rows: dict[str, dict[str, Any]] = {}
    steps = {}
    for dtype in DTYPES:
        try:
            if dtype != "float32":
                require_autocast(where, dtype)
            if dtype == "float16":
                require_grad_scaler(where)
            found = _gradients(file, where, batch_size, dtype)
            step = training_step.make(file, where, batch_size, dtype)
            step()
        except (UserError, RuntimeError, TypeError, NotImplementedError) as error:
            why = error.message if isinstance(error, UserError) else reason(error)
            rows[dtype] = {"why": why[:200]}
            continue
        steps[dtype] = step
        rows[dtype] = {
            "kept": found[2],
            "loss_error": _error([found[0]], [exact[0]]),
            "gradient_error": _error(
                [found[1][name] for name in exact[1] if name in found[1]],
                [best for name, best in exact[1].items() if name in found[1]],
            ),
        }
    turns = Turns(steps)
    if steps:
        turns.run(budget)
    for dtype in steps:
        rows[dtype]["timing"] = turns.timing(dtype)
        if dtype != "float32" and "float32" in steps:
            rows[dtype]["ratio"] = turns.ratio(dtype, "float32")
    return [Row(dtype, **row) for dtype, row in rows.items()]


def _gradients(
    file: File, where: torch.device, batch_size: int, dtype: str
) -> tuple[Tensor, dict[str, Tensor], int]:
    """Return the loss, the gradients and the bytes kept for the backward pass of one step."""
    exact = dtype == "float64"
    subject = without_dropout(
        file.subject(batch_size, where, torch.float64 if exact else torch.float32)
    )
    kept: dict[tuple[int, int], int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr(), storage.nbytes()] = storage.nbytes()
        return tensor

    own = {each.untyped_storage().data_ptr() for each in subject.model.parameters()}
    device.set_rng_state(where, None, SEED)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with training_step.precision(where, "float32" if exact else dtype):
            loss = subject.loss()
        size = sum(each for (pointer, _), each in kept.items() if pointer not in own)
        scale = 2.0**12 if dtype == "float16" else 1.0  # as a scaler, or small gradients vanish
        (loss * scale).backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: each.grad.detach().cpu().double() / scale
        for name, each in subject.model.named_parameters()
        if each.grad is not None
    }
    return loss.detach().cpu().double(), gradients, size


def _error(one: list[Tensor], best: list[Tensor]) -> float:
    """Return the length of the difference of two vectors over the length of the second."""
    if not best:
        return math.nan
    a, b = (torch.cat([each.double().reshape(-1) for each in every]) for every in (one, best))
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)):
        return math.nan
    return float((a - b).norm()) / (float(b.norm()) or 1.0)
