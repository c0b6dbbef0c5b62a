"""Mixup for the transit classifier (Zhang et al. 2018, arXiv:1710.09412): batches of blended pairs.

Each batch is blended with itself in another order: both views and the label with the same weight, drawn
from Beta(alpha, alpha). What is drawn depends on the seed and the position of the batch alone, so a
resumed run draws the same, and nothing more has to be stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from metalassay.training.train_state import BatchSource
from metalassay.workloads.registry import Batch

_PURPOSE = 0x6D697875  # no other random numbers of a run begin with this word


class MixedBatches:
    """The batches of ``source``, blended; positions are those of ``source``, whole numbers."""

    def __init__(self, source: BatchSource, alpha: float, seed: int) -> None:
        self.source, self.alpha, self.seed = source, alpha, seed

    def next(self) -> Batch:
        """Return the next batch, blended."""
        number = self.source.position()
        batch = self.source.next()
        random = np.random.default_rng([_PURPOSE, self.seed % 2**64, number])
        return blend(batch, *draw(random, self.alpha, len(batch.target)))

    def position(self) -> Any:
        """Return the position of the next batch."""
        return self.source.position()

    def seek(self, position: Any) -> None:
        """Go to a position that ``position`` returned. Raises ``ValueError`` for what cannot be one."""
        self.source.seek(position)


def draw(random: np.random.Generator, alpha: float, count: int) -> tuple[float, torch.Tensor]:
    """Return the weight of each curve in its blend, and which curve is blended into it, (count,)."""
    weight = float(random.beta(alpha, alpha))
    return weight, torch.from_numpy(random.permutation(count))


def blend(batch: Batch, weight: float, partner: torch.Tensor) -> Batch:
    """Return the batch with ``1 - weight`` of its partner in each input and in its label."""

    def mixed(x: torch.Tensor) -> torch.Tensor:
        return torch.lerp(x[partner], x, weight)

    return Batch(tuple(map(mixed, batch.inputs)), mixed(batch.target))
