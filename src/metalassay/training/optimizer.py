"""AdamW, gradient clipping and the one-cycle schedule on one flat vector of all weights.

Why not torch's: constructing any ``torch.optim`` optimiser imports ``torch._dynamo`` (4 s on the
author's machine), most of a ten-second run; and models this small spend much of a step launching one
operation for each of their many tensors. The formulas are torch's own, and the tests compare the
results with ``torch.optim.AdamW`` and ``OneCycleLR``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # elements: each weight starts on a cache line, as if allocated separately


@dataclass(frozen=True)
class OneCycle:
    """The learning rate by step: it rises along a cosine to ``peak`` and falls to almost 0.

    Smith & Topin 2018 (arXiv:1708.07120), with the defaults of guide 002; the same numbers as
    ``torch.optim.lr_scheduler.OneCycleLR(anneal_strategy="cos")``. ``momenta``, if given, are the
    minimum and maximum of the first beta, which moves opposite to the rate: by default OneCycleLR
    does that to an AdamW, with 0.85 and 0.95, whatever betas the AdamW was created with.
    """

    peak: float
    steps: int
    warm_up: float = 0.1
    start_divisor: float = 25.0
    final_divisor: float = 1000.0
    momenta: tuple[float, float] | None = None

    def rate(self, step: int) -> float:
        """Return the learning rate of ``step``, which counts from 0."""
        start = self.peak / self.start_divisor
        return self._between(step, start, self.peak, start / self.final_divisor)

    def momentum(self, step: int) -> float | None:
        """Return the first beta of ``step``, None if it does not change."""
        if self.momenta is None:
            return None
        least, most = self.momenta
        return self._between(step, most, least, most)

    def _between(self, step: int, start: float, middle: float, end: float) -> float:
        top, last = self.warm_up * self.steps - 1, self.steps - 1
        if step <= top:
            return _cosine(start, middle, step / top if top else 1.0)
        along = (step - top) / (last - top) if last > top else 1.0
        return _cosine(middle, end, min(along, 1.0))


def _cosine(start: float, end: float, along: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * along))


class FlatAdamW:
    """AdamW (Loshchilov & Hutter 2019) over all parameters of a model at once.

    It replaces the model's parameters and their gradients by views into two vectors. Construct it
    after the model is on its device, and do not move the model later. It has the ``param_groups`` and
    ``step`` that ``torch.amp.GradScaler`` needs.
    """

    def __init__(
        self,
        model: nn.Module,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        sizes = [-(-p.numel() // ALIGNMENT) * ALIGNMENT for p in parameters]
        device = parameters[0].device
        self.weights = nn.Parameter(torch.zeros(sum(sizes), device=device))
        self.weights.grad = self.gradients = torch.zeros_like(self.weights.data)
        start = 0
        for parameter, size in zip(parameters, sizes, strict=True):
            here = slice(start, start + parameter.numel())
            view = self.weights.data[here].view_as(parameter)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = self.gradients[here].view_as(parameter)
            start += size
        self.mean = torch.zeros_like(self.gradients)
        self.square = torch.zeros_like(self.gradients)
        self.weight_decay, self.betas, self.epsilon = weight_decay, betas, epsilon
        # What torch.optim.AdamW(fused=True) calls: one pass over memory.
        self._fused = device.type == "cpu" and hasattr(torch, "_fused_adamw_")
        self.rate, self.updates = (
            0.0,
            0,
        )  # the caller sets the rate, and may set betas, at each step
        self.param_groups: list[dict[str, Any]] = [{"params": [self.weights]}]

    def zero_grad(self) -> None:
        """Set all gradients to 0 in place, so that they stay views."""
        self.gradients.zero_()

    def clip(self, most: float) -> Tensor:
        """Scale the gradients down to a norm of at most ``most``; return the norm before."""
        norm: Tensor = torch.linalg.vector_norm(self.gradients)
        factor = (most / (norm + 1e-6)).clamp(max=1.0)  # 1e-6: as in torch's clip_grad_norm_
        # A product with 1 changes nothing; to know it, a GPU would have to be waited for.
        if norm.device.type != "cpu" or factor != 1:
            self.gradients.mul_(factor)
        return norm

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights once with the learning rate ``rate``."""
        self.updates += 1
        first, second = self.betas
        if self._fused:
            torch._fused_adamw_(
                [self.weights.data],
                [self.gradients],
                [self.mean],
                [self.square],
                [],
                [torch.tensor(float(self.updates))],
                lr=self.rate,
                beta1=first,
                beta2=second,
                weight_decay=self.weight_decay,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
            return
        correction = 1 - first**self.updates
        root = math.sqrt(1 - second**self.updates)
        weights, gradients = self.weights.data, self.gradients
        weights.mul_(1 - self.rate * self.weight_decay)
        self.mean.lerp_(gradients, 1 - first)
        self.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        spread = self.square.sqrt().div_(root).add_(self.epsilon)
        weights.addcdiv_(self.mean, spread, value=-self.rate / correction)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint needs besides the weights; ``updates`` is separate."""
        return {"mean": self.mean, "square": self.square}

    def load(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Restore what ``tensors`` of an equal optimiser returned."""
        self.mean.copy_(tensors["mean"])
        self.square.copy_(tensors["square"])
        self.updates = updates
