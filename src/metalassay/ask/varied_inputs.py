"""Makes other inputs for an operator of those that it got: in another layout, or with NaN and infinite numbers.

Kernels of MPS have been wrong with just these. A step rarely has them on the day when it is asked about, so each
operator runs with them once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metalassay.ask.copied_inputs import Copies, View

STRIDED, NOT_FINITE = "inputs that are not contiguous", "NaN and infinite numbers in the inputs"
_FILLING = 7.0
"""What stands between the elements, for a kernel that overlooks the strides."""
# The algorithm of a convolution decides how far a NaN spreads.
_SPREADS = ("conv",)


def of(name: str, copies: Copies) -> Iterator[tuple[str, Copies]]:
    """Yield what is other about the inputs, and them, for the inputs of a call of an operator.

    Tensors that share memory, and sparse or quantized ones, stay as they are. Nothing is yielded where no
    tensor is left to change.
    """
    strided = copies.changed(_spaced)
    if strided is not None:
        yield STRIDED, strided
    if not any(part in name for part in _SPREADS):
        broken = copies.changed(_broken)
        if broken is not None:
            yield NOT_FINITE, broken


def _spaced(flat: Tensor, view: View) -> tuple[Tensor, View] | None:
    """Return a tensor of the same numbers, its last two dimensions exchanged in memory, with gaps between them."""
    x = flat.as_strided(view.size, view.stride, view.offset)
    if x.numel() < 2:
        return None
    order = [*range(x.dim() - 2), x.dim() - 1, x.dim() - 2] if x.dim() > 1 else [0]
    strides, size = [0] * x.dim(), 2
    for at in reversed(order):
        strides[at] = size
        size *= x.shape[at]
    storage = torch.full((size + 1,), _FILLING, dtype=torch.float64).to(x.dtype)
    storage.as_strided(x.shape, strides, 1).copy_(x)
    return storage, View(view.key, tuple(x.shape), tuple(strides), 1)


def _broken(flat: Tensor, view: View) -> tuple[Tensor, View] | None:
    """Return a tensor with a NaN as its first number, an infinite one in its middle, and minus infinity as its last."""
    x = flat.as_strided(view.size, view.stride, view.offset)
    if not x.is_floating_point() or x.numel() == 0:
        return None
    if 0 in view.stride and x.numel() > 1:
        return None  # an expanded tensor has each of its numbers several times
    storage = flat.clone()
    x = storage.as_strided(view.size, view.stride, view.offset)
    numbers = x.reshape(-1).clone()
    for at, number in ((len(numbers) - 1, -math.inf), (len(numbers) // 2, math.inf), (0, math.nan)):
        numbers[at] = number
    x.copy_(numbers.reshape(x.shape))
    return storage, view


def has_integers(result: Any) -> bool:
    """Return whether a result has integers, of which no one says what they are for a NaN."""
    tensors = [each for each in result if isinstance(each, Tensor)]
    return any(
        not (each.is_floating_point() or each.is_complex() or each.dtype == torch.bool)
        for each in tensors
    )
