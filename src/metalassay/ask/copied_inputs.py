"""Keeps the arguments of an operator's call as they are before it, to call it again elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten


class Copies:
    """The arguments of a call as they are before it, copied to the CPU.

    Every storage is copied once, so that what shares memory does so in the copy too.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        leaves, self._tree = tree_flatten((tuple(args), dict(kwargs)))
        self._storages: dict[tuple[int, torch.dtype], Tensor] = {}
        with no_modes():
            self._leaves = [self._kept(leaf) for leaf in leaves]

    def _kept(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.device):
            return torch.device("cpu")
        if not isinstance(leaf, Tensor):
            return leaf
        leaf = leaf.detach()
        if leaf.layout != torch.strided or leaf.is_quantized or leaf.is_conj() or leaf.is_neg():
            return leaf.cpu().clone()
        storage = leaf.untyped_storage()
        key = (storage.data_ptr(), leaf.dtype)
        if key not in self._storages:
            flat = leaf.as_strided((storage.nbytes() // leaf.element_size(),), (1,), 0)
            self._storages[key] = flat.to("cpu", copy=True)
        return View(key, tuple(leaf.shape), leaf.stride(), leaf.storage_offset())

    def run(
        self, func: Any, dtype: torch.dtype | None, where: torch.device | None = None
    ) -> tuple[tuple[Any, Any], Any]:
        """Call ``func`` with fresh copies, in ``dtype`` and on a device if given; return the copies and the result."""
        with no_modes():
            args, kwargs = self._fresh(dtype, where)
        return (args, kwargs), func(*args, **kwargs)

    def changed(
        self, change: Callable[[Tensor, View], tuple[Tensor, View] | None]
    ) -> Copies | None:
        """Return copies in which ``change`` has made another storage and view of each that is alone; None if of none."""
        users = Counter(leaf.key for leaf in self._leaves if isinstance(leaf, View))
        other = Copies((), {})
        other._tree, other._leaves = self._tree, list(self._leaves)
        other._storages = dict(self._storages)
        made = 0
        for at, leaf in enumerate(self._leaves):
            if not isinstance(leaf, View) or users[leaf.key] > 1:
                continue
            with no_modes():
                found = change(self._storages[leaf.key], leaf)
            if found is not None:
                other._storages[leaf.key], other._leaves[at] = found
                made += 1
        return other if made else None

    def originals(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return copies of the arguments."""
        args, kwargs = self._fresh(None)
        return tuple(args), dict(kwargs)

    def strided(self) -> bool:
        """Return whether one of the tensors is not contiguous."""
        return any(
            not self._storages[leaf.key].as_strided(leaf.size, leaf.stride).is_contiguous()
            for leaf in self._leaves
            if isinstance(leaf, View)
        )

    def not_finite(self) -> bool:
        """Return whether one of the tensors has a NaN or an infinite number."""
        args, kwargs = self._fresh(None)
        return any(
            not bool(torch.isfinite(leaf).all())
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
            and leaf.is_floating_point()
            and leaf.layout == torch.strided
        )

    def _fresh(self, dtype: torch.dtype | None, where: torch.device | None = None) -> Any:
        storages = {key: _cast(flat, dtype, where) for key, flat in self._storages.items()}

        def restored(leaf: Any) -> Any:
            if isinstance(leaf, View):
                return storages[leaf.key].as_strided(leaf.size, leaf.stride, leaf.offset)
            if isinstance(leaf, torch.device):
                return where or leaf
            return _cast(leaf, dtype, where) if isinstance(leaf, Tensor) else leaf

        return tree_unflatten([restored(leaf) for leaf in self._leaves], self._tree)


@dataclass(frozen=True)
class View:
    """What part of a storage a tensor is."""

    key: tuple[int, torch.dtype]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


def _cast(tensor: Tensor, dtype: torch.dtype | None, where: torch.device | None = None) -> Tensor:
    """Return a copy, in ``dtype`` if it has floating-point numbers, on a device if given."""
    if where is not None:
        return tensor.to(where, copy=True)
    if dtype is None or not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor.clone()
    return tensor.to(torch.complex128 if tensor.is_complex() else dtype, copy=True)


def no_modes() -> Any:
    """Switch off every dispatch mode: neither a comparison nor its copies are part of the step."""
    return torch.utils._python_dispatch._disable_current_modes()
