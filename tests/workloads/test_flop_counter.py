from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from metalassay.workloads.flop_counter import Counts, count
from metalassay.workloads.models.two_branch_cnn import branch
from metalassay.workloads.registry import get, make

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # 2 x 3 times 3 x 4: 2 * 2 * 3 * 4 operations on 6 + 12 numbers, giving 8
        (lambda: torch.ones(2, 3) @ torch.ones(3, 4), Counts(48, 4 * (6 + 12 + 8) + 4 * (6 + 12))),
        # a kernel of 3 on 2 channels, to 8 places of 3 channels: 2 * (2 * 3) * (8 * 3)
        (
            lambda: functional.conv1d(torch.ones(1, 2, 10), torch.ones(3, 2, 3)),
            Counts(288, 4 * (20 + 18 + 24) + 4 * (20 + 18)),
        ),
        # 6 rows of 4 numbers to 6 of 5, seen as 2 x 3 rows: 2 * 6 * 4 * 5
        (
            lambda: functional.linear(torch.ones(2, 3, 4), torch.ones(5, 4)),
            Counts(240, 4 * (24 + 20 + 30) + 4 * (24 + 20)),
        ),
        # one head, 4 positions of 8 channels: 2 products, of 2 * 4 * 4 * 8 operations each
        (
            lambda: functional.scaled_dot_product_attention(*torch.ones(3, 1, 1, 4, 8)).shape,
            Counts(512, 4 * (3 * 32 + 32 + 4) + 4 * 96),
        ),
        # a view and an allocation touch nothing; the copy reads and writes 6 numbers
        (lambda: (torch.empty(2, 3).t().contiguous(), torch.empty(99)), Counts(0, 4 * (6 + 6))),
    ],
    ids=["matmul", "conv1d", "linear", "attention", "views"],
)
def test_counts_match_those_worked_out_by_hand(
    step: Callable[[], object], expected: Counts, mode: Callable[[], torch.no_grad]
) -> None:
    with mode():  # torch.ones writes its numbers: the second part of each sum
        assert count(step) == expected


def test_the_backward_pass_of_attention_counts_five_products() -> None:
    q, k, v = (torch.ones(1, 1, 4, 8, requires_grad=True) for _ in range(3))

    def step() -> None:
        torch.autograd.backward(functional.scaled_dot_product_attention(q, k, v).sum())

    assert count(step).flop == (2 + 5) * 2 * 4 * 4 * 8


@pytest.mark.parametrize(("mode", "mflop"), [("infer", 22.70), ("train", 67.15)])
def test_the_flop_of_the_cnn_are_the_known_ones(mode: str, mflop: float) -> None:
    counts = count(make(get("transit-cnn"), mode, CPU, "float32", 2).step)
    assert counts.flop / 2 == pytest.approx(mflop * 1e6, rel=0.01)


def test_inference_mode_counts_the_same_operations_as_other_forward_passes() -> None:
    model, curves = branch(4, (7, 5, 5)), torch.ones(2, 1, 201)
    with torch.inference_mode():
        inference = count(lambda: model(curves))
    assert inference == count(lambda: model(curves))


def test_work_of_the_first_call_only_is_not_counted() -> None:
    state: list[torch.Tensor] = []

    def step() -> None:
        if not state:
            state.append(torch.ones(1000))

    assert count(step) == Counts(0, 0)


def test_a_16_bit_inference_moves_fewer_bytes_for_the_same_arithmetic() -> None:
    full, half = (
        count(make(get("transit-cnn"), "infer", CPU, dtype, 4).step)
        for dtype in ("float32", "bfloat16")
    )
    assert half.flop == full.flop
    assert half.bytes < full.bytes


def test_the_optimiser_counts_as_traffic_and_not_as_arithmetic() -> None:
    weight = torch.nn.Parameter(torch.ones(1000))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.ones(1000)
    # weight and gradient in, weight out
    assert count(optimizer.step) == Counts(flop=0, bytes=4 * 3000)
