"""Count the arithmetic and the memory traffic of one step from the operations that it runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from metalassay.machine import roofline_model
from metalassay.workloads.registry import Recipe, Workload


@dataclass(frozen=True)
class Counts:
    """The floating-point operations of one step, and the bytes in and out of its operations."""

    flop: int
    bytes: int


def count(step: Callable[[], object]) -> Counts:
    """Count the work of ``step()``; run it twice, because the first call also does some setup.

    ``flop`` is the count of torch's ``FlopCounterMode``: 2 for each multiply-add of a matrix
    product, convolution or attention, forward and backward, and nothing for element-wise work,
    normalisation, pooling, losses or the optimiser. Attention counts as if nothing were masked,
    which is torch's convention, and its backward pass with the scores computed again; for the
    CPU's fused attention, which torch leaves out, we apply the same formulas.

    ``bytes`` adds up, over every aten operation, the tensors that go in and those that come out:
    what eager execution would move without any cache, and so an upper bound on memory traffic.
    Operations that touch no elements are not counted: views (those whose schema says
    that the result aliases an input, and ``_unsafe_view``) and uninitialised allocations. An input
    that is expanded counts in full, the 8-byte indices of max-pooling count (eager CPU inference
    can do without them), and an optimiser step counts like any other work.

    Both depend on how a device splits the work into operations. For numbers that are comparable
    between devices, count on the CPU: torch has no FLOP formula for the operations into which MPS
    turns linear layers and attention.
    """
    step()
    counter = Counter()
    with counter:
        step()
    return counter.counts()


class Counter:
    """Counts what runs in the thread that enters it, as ``count`` does."""

    def __init__(self) -> None:
        self._flop = FlopCounterMode(display=False, custom_mapping=_ATTENTION_ON_CPU)
        self._traffic = _Traffic()
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> Counter:
        self._entered.enter_context(self._flop)
        self._entered.enter_context(self._traffic)  # last, so that it sees each operation first
        return self

    def __exit__(self, *raised: Any) -> None:
        self._entered.__exit__(*raised)

    def counts(self) -> Counts:
        """Return what was counted so far."""
        return Counts(flop=self._flop.get_total_flops(), bytes=self._traffic.bytes)


def compulsory(recipe: Recipe, workload: Workload) -> int:
    """Return the bytes that one call of ``workload`` must move even with ideal caches.

    ``recipe`` is the one from which it was made. See ``roofline_model.compulsory_bytes``; weights,
    inputs and logits are counted, not estimated.
    """
    batch = recipe.batch(workload.batch_size, torch.Generator().manual_seed(0))
    moved, output = [*batch.inputs], 0
    if workload.mode == "train":
        moved.append(batch.target)
    else:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output = _size(recipe.build().eval()(*batch.inputs))
    return roofline_model.compulsory_bytes(
        mode=workload.mode,
        parameters=workload.parameters,
        input_bytes=_size(moved),
        output_bytes=output,
    )


def _attention_flop(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))  # type: ignore[no-untyped-call]


def _attention_backward_flop(grad: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad, q, k, v))  # type: ignore[no-untyped-call]


_ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flop,
}
_TOUCHES_NOTHING = {
    torch.ops.aten._unsafe_view,
    torch.ops.aten.empty,
    torch.ops.aten.empty_like,
    torch.ops.aten.empty_strided,
    torch.ops.aten.new_empty,
    torch.ops.aten.new_empty_strided,
}


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that adds up the bytes of all tensors in and out of operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Inference mode hands over operations that consist of others (linear, conv1d) whole, where
        # training hands over the parts; torch 2.5 counts no FLOP for the whole.
        with self:
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        if not (func.is_view or func.overloadpacket in _TOUCHES_NOTHING):
            self.bytes += _size((args, kwargs)) + _size(result)
        return result


def _size(tree: Any) -> int:
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors)
