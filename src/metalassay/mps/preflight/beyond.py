"""Note the dtype or the sizes of calls that some kernel of MPS refuses. Imports no metalassay.

Which operators are watched, for which dtypes and limits, is in the settings (``predict.settings``). The
checks of the limits are those of the emulator (cpp/limits.cpp), and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Mark = tuple[str, str]
"""The dtype of a call, if it is watched, and the limit that the call is beyond; "" for none."""
NOTHING: Mark = ("", "")


class Watch:
    """Which operators are watched: for ``dtypes`` ("int64 bool") and for ``limits``, by operator."""

    def __init__(self, dtypes: Mapping[str, str], limits: Mapping[str, Sequence[str]]) -> None:
        self.dtypes = {
            name: {getattr(torch, each): each for each in found.split() if hasattr(torch, each)}
            for name, found in dtypes.items()
        }
        self.limits = limits

    def of(self, name: str) -> Callable[[Any, Any], Mark] | None:
        """Return a function that marks a call of an operator by its arguments; None if it is not watched."""
        dtypes = self.dtypes.get(name, {})
        limits = self.limits.get(name.partition(".")[0], ())
        if not dtypes and not limits:
            return None

        def mark(args: Any, kwargs: Any) -> Mark:
            beyond = next((limit for limit in limits if is_beyond(limit, args)), "")
            return (dtypes.get(_dtype(args, kwargs), ""), beyond)

        return mark


def _dtype(args: Any, kwargs: Any) -> Any:
    """Return the dtype that a call is about: that of the first tensor, or else the one asked for."""
    for argument in args:
        if isinstance(argument, torch.Tensor):
            return argument.dtype
        first = argument[0] if isinstance(argument, (list, tuple)) and argument else None
        if isinstance(first, torch.Tensor):
            return first.dtype
    for argument in (kwargs or {}).values():
        if isinstance(argument, torch.Tensor):
            return argument.dtype
    return (kwargs or {}).get("dtype")


def is_beyond(limit: str, args: Any) -> bool:
    """Return whether a call is beyond a limit of limits.toml; False if the limit is not known here."""
    if limit == "transposed-3d-half":
        half = (torch.float16, torch.bfloat16)
        return len(args) > 6 and bool(args[6]) and args[0].dim() == 5 and args[0].dtype in half
    sizes = _pooling(args)
    if sizes is None:
        return False
    (in_height, in_width), (out_height, out_width) = sizes
    # Which of the two is asked is decided by the height alone.
    shrinks = in_height >= out_height
    if limit == "one-direction":
        return (in_height - out_height) * (in_width - out_width) < 0
    if limit == "divisible-input":
        return shrinks and bool(in_height % out_height or in_width % out_width)
    if limit == "divisible-output":
        return not shrinks and bool(out_height % in_height or out_width % in_width)
    return False


def _pooling(args: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the height and width of what an adaptive pooling takes and returns.

    Its backward pass takes the gradient first. None if the call has an error of its own.
    """
    if len(args) < 2 or not isinstance(args[0], torch.Tensor) or args[0].dim() < 3:
        return None
    backward = isinstance(args[1], torch.Tensor)
    if backward and args[1].dim() < 3:
        return None
    first, second = tuple(args[0].shape[-2:]), args[1].shape[-2:] if backward else args[1]
    if not isinstance(second, (list, tuple)) or len(second) != 2:
        return None
    # None stands for the size of the input in Python, and is replaced before the kernel.
    if not all(isinstance(size, int) and size > 0 for size in (*first, *second)):
        return None
    pair = (first, tuple(second))
    return pair[::-1] if backward else pair  # type: ignore[return-value]
