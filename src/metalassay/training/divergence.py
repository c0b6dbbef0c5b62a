"""Training that has diverged: figures and weights that are no numbers any more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from metalassay.errors import UserError

HIGHEST_RATE = 1e36  # the first updates are of 20 times as much, which a float32 still has to hold


def require_usable(rate: float) -> None:
    """Raise ``UserError`` for a learning rate that float32 cannot compute with."""
    if not rate < HIGHEST_RATE:
        raise UserError(f"a learning rate of {rate:g}", "choose a lower --learning-rate, below 1")


def lower(rate: float) -> str:
    """Return what to do when training at ``rate`` has diverged."""
    return f"train anew in another --output folder, with --learning-rate below {rate:g}"


def require_finite(figures: Mapping[str, float], where: str, next_step: str) -> None:
    """Raise ``UserError`` for the first of ``figures`` that is not finite; JSON has no word for it."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise UserError(f"the {name.replace('_', ' ')} is {value} {where}", next_step)


def require_finite_weights(model: nn.Module, step: int, rate: float) -> None:
    """Raise ``UserError`` where a weight is not finite: from such a checkpoint nothing goes on."""
    finite = [each.isfinite().all() for each in model.parameters()]
    if finite and not torch.stack(finite).all().item():
        raise UserError(f"the weights are not finite after step {step}", lower(rate))
