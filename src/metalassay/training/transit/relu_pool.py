"""Fuse relu and max pooling by two, for training on the CPU: the same values in a quarter of the time.

If a gradient is needed, torch's own max pooling stores the index of each maximum as 8 bytes, found one
by one: a third of the transit CNN's step. For windows of two, one comparison finds the larger value.
Values and gradients equal torch's exactly where they are finite (the sign of a zero may differ), and so
do the losses; another memory layout of the convolutions would sum in another order and change them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

PAIRS = {
    "kernel_size": 2,
    "stride": 2,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "return_indices": False,
}


BLOCK = 2**20  # bytes: what a part of the batch needs in the backward pass stays in the cache


class _ReluMaxPool(torch.autograd.Function):
    """``max_pool1d(relu(x), 2)`` with a gradient: (..., L) -> (..., L // 2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        pooled = functional.max_pool1d(
            x, 2
        )  # no gradient is recorded here, so torch uses its fast kernel
        first, second = _pairs(x)
        # The difference, and not whether it is positive: a product with a bool is twice as slow.
        ctx.save_for_backward(second - first, pooled.relu_())
        ctx.shape = x.shape
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        difference, pooled = ctx.saved_tensors
        result = gradient.new_empty(ctx.shape)
        rows = max(BLOCK // max(result[0].numel() * result.element_size(), 1), 1)
        parts = (each.split(rows) for each in (gradient, pooled, difference, result))
        for above, most, larger, below in zip(*parts, strict=True):
            through = _where_positive(above, most)  # the gradient that passes relu
            to_second = _where_positive(through, larger)  # of two equal values, to the first
            first, second = _pairs(below)
            second.copy_(to_second)
            torch.sub(through, to_second, out=first)
        result[..., 2 * pooled.shape[-1] :] = 0  # the last value of an odd length has no pair
        return result


def _where_positive(gradient: Tensor, value: Tensor) -> Tensor:
    """Return ``gradient`` where ``value`` is above 0, else 0: one pass of vector instructions, unlike where."""
    passed: Tensor = torch.ops.aten.threshold_backward(gradient, value, 0)
    return passed


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second of each pair along the last axis, as views."""
    end = x.shape[-1] // 2 * 2
    return x[..., 0:end:2], x[..., 1:end:2]


class ReluMaxPool(nn.Module):
    """Relu and ``MaxPool1d(2)``, (B, C, L) -> (B, C, L // 2); faster when training on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the larger value of each pair, at least 0."""
        if x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad:
            pooled: Tensor = _ReluMaxPool.apply(x)  # type: ignore[no-untyped-call]
            return pooled
        return functional.max_pool1d(functional.relu(x), 2)


def fuse(model: nn.Module) -> nn.Module:
    """Replace each relu before a ``MaxPool1d(2)`` in the sequences of ``model`` by ``ReluMaxPool``.

    Changes ``model`` in place and returns it. The weights keep their names, so checkpoints still fit.
    """
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for i in range(len(layers) - 1):
            if isinstance(layers[i], nn.ReLU) and _pools_pairs(layers[i + 1]):
                layers[i], layers[i + 1] = ReluMaxPool(), nn.Identity()
    return model


def _pools_pairs(layer: nn.Module) -> bool:
    return isinstance(layer, nn.MaxPool1d) and all(
        getattr(layer, name) in (value, (value,)) for name, value in PAIRS.items()
    )
