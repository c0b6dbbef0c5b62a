"""Kernels that compute wrong numbers, for tests: a dispatch mode that changes what an operator returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


def scaled(result: Tensor) -> Tensor:
    """Return a hundredth more."""
    return result * 1.01


def one_element(result: Tensor) -> Tensor:
    """Return a result whose last element is wrong."""
    result = result.clone()
    result[(-1,) * result.dim()] += 1
    return result


def not_a_number(result: Tensor) -> Tensor:
    """Return a result with a NaN in it."""
    result = result.clone()
    result[(0,) * result.dim()] = float("nan")
    return result


def reversed_rows(result: Tensor) -> Tensor:
    """Return the rows in the wrong order, as a kernel does that ignores strides."""
    return result.flip(0)


class Wrong(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes an operator wrong from its ``after``-th call on; a changed argument is changed in place."""

    def __init__(
        self, operator: str, how: Callable[[Tensor], Tensor], after: int = 0, device: str = ""
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operator, self.how, self.left, self.device = operator, how, after, device
        self.made = 0

    def _there(self, tree: Any) -> bool:
        """Whether the call is on the device that is wrong; without one, every device is."""
        tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
        return not self.device or any(each.device.type == self.device for each in tensors)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operator, and spoil what it returns."""
        result = func(*args, **(kwargs or {}))
        if func.name().removeprefix("aten::") != self.operator or not self._there((args, result)):
            return result
        self.left -= 1
        if self.left >= 0:
            return result
        self.made += 1
        if func._schema.is_mutable:
            with torch.no_grad():
                args[0].copy_(self.how(args[0].detach()))
            return result
        first = [True]

        def spoil(leaf: Any) -> Any:
            if not (isinstance(leaf, Tensor) and leaf.is_floating_point() and first[0]):
                return leaf
            first[0] = False
            return self.how(leaf)

        return tree_map(spoil, result)
