"""Convolve a single channel, as in the first layer of each branch, faster when training on the CPU.

With one input channel torch's backward pass spends its time on rearranging memory. The gradient of the weights is
a matrix product of the gradient with shifted copies of the curve, which sums the same numbers in another
order: the results agree to rounding. The forward pass is torch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class _Convolution(torch.autograd.Function):
    """``conv1d(x, weight, bias, padding=K // 2)`` of (B, 1, L) with K taps; the gradient of x is not needed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.taps = weight.shape[-1]
        return functional.conv1d(x, weight, bias, padding=ctx.taps // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        half, length = ctx.taps // 2, x.shape[-1]
        shifted = functional.pad(x, (half, half)).unfold(2, length, 1)[:, 0]  # (B, K, L)
        ones = shifted.new_ones(len(x), 1, length)  # times which the gradient is that of the bias
        products = torch.bmm(gradient, torch.cat((shifted, ones), 1).transpose(1, 2))
        sums = products.sum(0)  # (channels, K + 1)
        return None, sums[:, None, :-1], sums[:, -1]


class FirstLayer(nn.Conv1d):
    """A ``Conv1d`` of one channel that keeps the length, (B, 1, L) -> (B, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what ``Conv1d`` returns."""
        plain = x.device.type == "cpu" and x.dtype == torch.float32
        if plain and torch.is_grad_enabled() and not x.requires_grad and not _autocast():
            convolved: Tensor = _Convolution.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return convolved
        return super().forward(x)


def _autocast() -> bool:
    return torch.is_autocast_enabled("cpu")


def replace_convolutions(model: nn.Module) -> nn.Module:
    """Let each convolution of one channel at the start of a sequence of ``model`` be a ``FirstLayer``.

    Changes ``model`` in place and returns it. The weights keep their names, so checkpoints still fit.
    """
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        if len(layers) and _fits(layers[0]):
            layers[0].__class__ = FirstLayer
    return model


def _fits(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv1d or layer.bias is None or layer.in_channels != 1:
        return False
    (taps,) = layer.kernel_size
    wanted = {"stride": (1,), "dilation": (1,), "groups": 1, "padding_mode": "zeros"}
    return (
        taps % 2 == 1
        and layer.padding == (taps // 2,)
        and all(getattr(layer, name) == value for name, value in wanted.items())
    )
