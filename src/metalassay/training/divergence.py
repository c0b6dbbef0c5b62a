"""Detect training that has diverged: metrics and weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from metalassay.errors import UserError

HIGHEST_RATE = 1e36  # the first updates are 20 times as large, and must fit a float32


def require_usable(rate: float) -> None:
    """Raise ``UserError`` for a learning rate that overflows float32."""
    if not rate < HIGHEST_RATE:
        raise UserError(
            f"a learning rate of {rate:g} overflows float32", "choose a --learning-rate below 1"
        )


def advise_lower_rate(rate: float) -> str:
    """Return the next step for a user whose training at ``rate`` has diverged."""
    return f"train again in another --output folder, with --learning-rate below {rate:g}"


def require_finite(figures: Mapping[str, float], where: str, next_step: str) -> None:
    """Raise ``UserError`` for the first of ``figures`` that is not finite, which JSON cannot express."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise UserError(f"the {name.replace('_', ' ')} is {value} {where}", next_step)


def require_finite_weights(model: nn.Module, step: int, rate: float) -> None:
    """Raise ``UserError`` if a weight is not finite: no run could continue from such a checkpoint."""
    finite = [parameter.isfinite().all() for parameter in model.parameters()]
    if finite and not torch.stack(finite).all().item():
        raise UserError(f"the weights are not finite after step {step}", advise_lower_rate(rate))
