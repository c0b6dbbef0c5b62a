"""The first operator that is wrong is named: with kernels that were made wrong, and never without."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from wrong_kernels import Wrong, not_a_number, one_element, reversed_rows, scaled

from metalassay.ask.first_difference import Compare, judge
from metalassay.ask.varied_inputs import NOT_FINITE, STRIDED

CPU = torch.device("cpu")


class Model(nn.Module):
    """Layers of several kinds, views, and arithmetic in place."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 12)
        self.conv = nn.Conv1d(12, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.pool = nn.MaxPool1d(2)
        self.hidden = nn.Linear(64, 16)
        self.layer_norm = nn.LayerNorm(16)
        self.out = nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, 5) for tokens (B, 16)."""
        x = self.pool(nn.functional.gelu(self.norm(self.conv(self.embed(tokens).transpose(1, 2)))))
        x = self.layer_norm(self.hidden(x.flatten(1)))
        q = x.view(-1, 4, 4).transpose(1, 2)
        weights = torch.softmax(q @ q.transpose(1, 2) / 2, -1)
        x = x + (weights @ q).transpose(1, 2).reshape(-1, 16)
        x = x.clone().mul_(1.5).add_(0.1)
        x = torch.cat([x[:, ::2], x[:, 1::2].tanh()], 1)
        logits: Tensor = self.out(torch.where(x > 0, (x.abs() + 0.1).sqrt().nan_to_num(), x))
        return logits


def step(compare: Compare, wrong: Wrong | None = None) -> None:
    """Train one step while it is compared."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Model()
        tokens, target = torch.randint(11, (6, 16)), torch.randint(5, (6,))
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    with wrong or contextlib.nullcontext(), compare:
        nn.functional.cross_entropy(model(tokens), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    compare = Compare(CPU)
    step(compare)
    assert compare.found == {}
    assert compare.elsewhere == []
    assert len(compare.compared) > 40
    assert min(compare.varied.values()) > 25
    assert "aten::convolution_backward" in compare.compared


class Overlooks(Wrong):  # type: ignore[no-untyped-call]
    """Makes an operator wrong for some inputs alone."""

    def __init__(self, operator: str, how: Callable[[Tensor], Tensor], inputs: str) -> None:
        super().__init__(operator, how)
        self.inputs = inputs

    def _there(self, tree: Any) -> bool:
        tensors = [
            leaf
            for leaf in tree_leaves(tree[0])
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]
        if self.inputs == STRIDED:
            return any(not each.is_contiguous() for each in tensors)
        return any(not bool(torch.isfinite(each).all()) for each in tensors)


@pytest.mark.parametrize(
    ("operator", "how", "inputs"),
    [
        ("sqrt", scaled, STRIDED),
        ("_softmax", one_element, STRIDED),
        ("native_layer_norm", one_element, STRIDED),
        ("addcdiv_", scaled, STRIDED),
        ("sqrt", torch.nan_to_num, NOT_FINITE),
        ("where.self", torch.zeros_like, NOT_FINITE),
        ("addcmul_", torch.nan_to_num, NOT_FINITE),
    ],
)
def test_a_kernel_that_is_wrong_for_inputs_that_the_step_does_not_have(
    operator: str, how: Callable[[Tensor], Tensor], inputs: str
) -> None:
    compare, wrong = Compare(CPU), Overlooks(operator, how, inputs)
    step(compare, wrong)
    assert wrong.made, "it was not called with such inputs"
    assert compare.found == {}
    assert [(each.operator, each.inputs) for each in compare.elsewhere] == [(operator, inputs)]


INJECTED: list[tuple[str, Callable[[Tensor], Tensor], int]] = [
    ("embedding", scaled, 0),
    ("transpose.int", reversed_rows, 0),
    ("transpose.int", one_element, 2),
    ("convolution", scaled, 0),
    ("convolution", one_element, 0),
    ("native_batch_norm", scaled, 0),
    ("gelu", not_a_number, 0),
    ("max_pool2d_with_indices", reversed_rows, 0),
    ("view", reversed_rows, 1),
    ("t", reversed_rows, 0),
    ("addmm", scaled, 0),
    ("addmm", one_element, 1),
    ("native_layer_norm", scaled, 0),
    ("_softmax", one_element, 0),
    ("bmm", reversed_rows, 0),
    ("bmm", scaled, 1),
    ("div.Tensor", scaled, 0),
    ("clone", reversed_rows, 0),
    ("mul_.Tensor", scaled, 0),
    ("add_.Tensor", one_element, 0),
    ("slice.Tensor", reversed_rows, 0),
    ("tanh", one_element, 0),
    ("cat", reversed_rows, 0),
    ("sqrt", scaled, 0),
    ("nan_to_num", one_element, 0),
    ("where.self", reversed_rows, 0),
    ("_log_softmax", scaled, 0),
    ("nll_loss_forward", scaled, 0),
    ("_log_softmax_backward_data", scaled, 0),
    ("native_layer_norm_backward", one_element, 0),
    ("convolution_backward", scaled, 0),
    ("embedding_dense_backward", one_element, 0),
    ("max_pool2d_with_indices_backward", reversed_rows, 0),
    ("addcdiv_", scaled, 0),
    ("lerp_.Scalar", one_element, 3),
]


@pytest.mark.parametrize(("operator", "how", "after"), INJECTED)
def test_a_wrong_kernel_is_the_first_that_is_found(
    operator: str, how: Callable[[Tensor], Tensor], after: int
) -> None:
    compare, wrong = Compare(CPU), Wrong(operator, how, after)
    step(compare, wrong)
    assert wrong.made, "the operator was not called"
    assert [each.operator for each in compare.found.values()] == [operator]
    (found,) = compare.found.values()
    assert not found.error <= found.allowed
    assert found.arguments


def test_the_arguments_are_those_from_before_the_call() -> None:
    compare = Compare(CPU)
    x = torch.arange(6.0)
    with Wrong("mul_.Tensor", scaled), compare:
        x.mul_(torch.tensor(2.0))
    (found,) = compare.found.values()
    assert found.arguments[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_equal_numbers_may_be_found_at_other_places_and_random_ones_may_differ() -> None:
    compare = Compare(CPU)
    x = torch.zeros(8, requires_grad=True)
    with compare:
        x.sort()
        torch.nn.functional.dropout(x, 0.5)
        torch.empty(3)
    assert compare.found == {}
    assert "random" in compare.skipped["aten::bernoulli_.float"]
    assert "uninitialised" in compare.skipped["aten::empty.memory_format"]


class Shifted(Wrong):  # type: ignore[no-untyped-call]
    """Makes the places of an operator wrong, which are no floating-point numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operator, and move its places on by one, or out of the tensor."""
        result = func(*args, **(kwargs or {}))
        if func.name().removeprefix("aten::") != self.operator:
            return result
        *values, places = result if isinstance(result, tuple) else (result,)
        moved = self.how(places)
        return (*values, moved) if values else moved


@pytest.mark.parametrize(
    ("operator", "call"),
    [
        ("argmax", lambda x: x.argmax()),
        ("argmax", lambda x: x.argmax(1)),
        ("argmin", lambda x: x.argmin(0, keepdim=True)),
        ("max.dim", lambda x: x.max(1)),
        ("topk", lambda x: x.topk(2)),
        ("sort", lambda x: x.sort(0)),
    ],
)
def test_places_are_judged_by_the_numbers_that_are_there(
    operator: str, call: Callable[[Tensor], Any]
) -> None:
    x = torch.tensor([[3.0, 1.0, 2.0, 7.0], [5.0, 9.0, 4.0, 6.0]])
    fine, moved, outside = (Compare(CPU) for _ in range(3))
    with fine:
        call(x)
        call(torch.ones(2, 4))  # where all numbers are equal, any place will do
    with Shifted(operator, lambda places: (places + 1) % 2), moved:
        call(x)
    with Shifted(operator, lambda places: places + 100), outside:
        call(x)
    assert fine.found == {}
    (found,) = moved.found.values()
    assert "places are those of other numbers" in found.what
    (found,) = outside.found.values()
    assert "places do not exist" in found.what


@pytest.mark.parametrize(
    ("one", "cpu", "words"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]), "off by 0.048"),
        (torch.tensor([math.nan]), torch.tensor([1.0]), "NaN on one of both"),
        (torch.tensor([math.inf, 1]), torch.tensor([1.0, 1]), "infinite on one of both"),
        (torch.tensor([math.inf]), torch.tensor([-math.inf]), "infinite on one of both"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "1 of 2 elements differ"),
        (torch.zeros(2), torch.zeros(3), "shape is (2,)"),
        (torch.zeros(2), torch.zeros(2).double(), "dtype is float32"),
        (1.0, 2.0, "off by"),
        (True, False, "it is True"),
        (None, torch.zeros(3), "it is None, and a tensor on the CPU"),
        (torch.zeros(3), None, "it is a tensor, and None on the CPU"),
    ],
)
def test_what_is_wrong_is_said(one: Any, cpu: Any, words: str) -> None:
    verdict = judge(one, cpu, cpu)
    assert verdict is not None
    assert words in verdict[0]


def test_rounding_is_nothing_wrong() -> None:
    exact = torch.rand(1000, dtype=torch.float64)
    assert judge(exact.float() * (1 + 1e-7), exact.float(), exact) is None
    assert judge(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0]), exact[:2]) is None
    assert judge(torch.zeros(0), torch.zeros(0), torch.zeros(0)) is None
