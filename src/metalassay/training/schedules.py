"""The learning rate by step: one cycle, or a linear warm-up and then a cosine or a constant rate.

With a warm-up of whole steps, the latter two are those of transformers' ``get_scheduler``, which
guide 002 names without writing them down; the tests compare the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from metalassay.training.optimizer import OneCycle

ONE_CYCLE, COSINE, CONSTANT = "one-cycle", "cosine", "constant"


class Schedule(Protocol):
    """The learning rate, and perhaps the first beta, by step."""

    def rate(self, step: int) -> float:
        """Return the learning rate of ``step``, which counts from 0."""

    def momentum(self, step: int) -> float | None:
        """Return the first beta of ``step``, None if it does not change."""


@dataclass(frozen=True)
class WarmedUp:
    """A rate that rises linearly from 0 to ``peak`` in ``rise`` steps, and stays there or falls to 0.

    ``falls``: along half a cosine, until the last step. The first step has a rate of 0 if there is a rise.
    """

    peak: float
    steps: int
    rise: float
    falls: bool

    def rate(self, step: int) -> float:
        """Return the learning rate of ``step``, which counts from 0."""
        if step < self.rise:
            return self.peak * step / self.rise
        if not self.falls:
            return self.peak
        along = (step - self.rise) / max(self.steps - self.rise, 1)
        return self.peak * (1 + math.cos(math.pi * min(along, 1.0))) / 2

    def momentum(self, step: int) -> None:
        """Return None: the first beta does not change."""


def make(
    name: str, peak: float, steps: int, warm_up: float, momenta: tuple[float, float] | None
) -> Schedule:
    """Return the schedule ``name``; ``warm_up`` is a share of the steps below 1, else a number of them."""
    rise = rising_steps(steps, warm_up)
    if name == ONE_CYCLE:
        share = warm_up if warm_up < 1 else rise / steps
        return OneCycle(peak, steps, share, momenta=momenta)
    return WarmedUp(peak, steps, rise, falls=name == COSINE)


def rising_steps(steps: int, warm_up: float) -> float:
    """Return how many of ``steps`` a warm-up takes that is given as a share below 1 or as a number."""
    return warm_up * steps if warm_up < 1 else warm_up
