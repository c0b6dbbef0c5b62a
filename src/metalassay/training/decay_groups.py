"""Weight decay of the matrices alone: biases and the scales of normalisations are left as they are.

That is how GPT-2 and BERT are usually trained. Which weights decay is decided by the number of their
axes, as in nanoGPT: two or more, so kernels of convolutions and embeddings decay too.
"""

from __future__ import annotations

import torch
from torch import nn

from metalassay.training.optimizer import FlatAdamW

ALL, MATRICES = "all", "matrices"


class MatricesDecay(FlatAdamW):
    """The AdamW of this package, whose weight decay leaves weights of one axis out."""

    def __init__(
        self, model: nn.Module, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(model, 0.0, betas)
        self.decay_of_matrices = weight_decay
        # Views into the vector of all weights, by now.
        self._matrices = [p.data for p in model.parameters() if p.requires_grad and p.ndim > 1]

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights once; the decay comes first, as in AdamW."""
        if self._matrices:
            torch._foreach_mul_(self._matrices, 1 - self.rate * self.decay_of_matrices)
        super().step()


def make(
    groups: str, model: nn.Module, weight_decay: float, betas: tuple[float, float]
) -> FlatAdamW:
    """Return the optimiser for the groups "all" or "matrices"."""
    if groups == MATRICES:
        return MatricesDecay(model, weight_decay, betas)
    return FlatAdamW(model, weight_decay, betas)
