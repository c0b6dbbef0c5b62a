"""What the MPS backend has got silently wrong at some time: each function asserts what is right.

Operators here, layers in mps_layer_hazards.py. Each runs in a process of its own (mps_child.py), for
some abort it. What is right is what the CPU says. Every look at the device goes through
``under_test``, which is where our own tests put a faulty device in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

Compute = Callable[[str], Tensor]


class CannotAskError(Exception):
    """This torch, or this machine, cannot do what the hazard needs."""


def under_test(compute: Compute, device: str) -> Tensor:
    """Return what ``compute`` gives on the device, brought to the CPU."""
    torch.manual_seed(0)
    return compute(device).detach().cpu()


def agree(compute: Compute, device: str, what: str, tolerance: float = 1e-4) -> None:
    """Assert that the device computes what the CPU does; ``what`` names the fault if it does not."""
    torch.manual_seed(0)
    expected = compute("cpu").detach()
    found = under_test(compute, device)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{what}: another form"
    same = torch.isclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    wrong = (~same).sum().item()
    assert not wrong, f"{what}: {wrong} of {expected.numel()} values differ from the CPU's"


@contextmanager
def unless_refused(kind: type[Exception], words: str) -> Iterator[None]:
    """Turn a refusal in such words into ``CannotAskError``: it is a fault of its own, or none."""
    try:
        yield
    except kind as error:
        if words not in str(error):
            raise
        raise CannotAskError(f"refused: {error}") from None


# Writing where the memory has gaps or another order.


def in_place_arithmetic_reaches_a_transpose(device: str) -> None:
    def compute(device: str) -> Tensor:
        y, z = torch.rand(6, 4).to(device), torch.rand(6, 4).to(device) + 0.5
        product, quotient = (torch.rand(4, 6).to(device).t() for _ in range(2))
        product.addcmul_(y, z, value=2)
        quotient.addcdiv_(y, z, value=2)
        return torch.cat([product, quotient])

    agree(compute, device, "addcmul_ or addcdiv_ left a transpose unwritten")


def adam_trains_a_transposed_parameter(device: str) -> None:
    def compute(device: str) -> Tensor:
        parameter = nn.Parameter(torch.rand(4, 6).to(device).t())
        optimizer = torch.optim.Adam([parameter], lr=0.1)
        (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return parameter

    agree(compute, device, "Adam did not train a transposed parameter")


def random_numbers_reach_a_transpose(device: str) -> None:
    def compute(device: str) -> Tensor:
        drawn = []
        for fill in ("normal_", "uniform_", "exponential_", "bernoulli_", "random_"):
            target = torch.zeros(5, 7, device=device).t()
            getattr(target, fill)()
            drawn.append((target != 0).any().cpu())
        return torch.stack(drawn)

    assert under_test(compute, device).all(), "random numbers left a transpose unwritten"


def bitwise_results_reach_a_gap(device: str) -> None:
    def compute(device: str) -> Tensor:
        left, right = (torch.randint(0, 255, (8, 6)).to(device) for _ in range(2))
        out = torch.zeros(8, 12, dtype=torch.int64, device=device)
        for operation in (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor):
            operation(left, right, out=out[:, ::2])
            left = left + out[:, ::2]
        return out

    agree(compute, device, "a bitwise operation missed its strided output")


def neighbouring_cells_keep_their_values(device: str) -> None:
    def compute(device: str) -> Tensor:
        cells = torch.zeros(4, device=device)
        cells[1] = 1
        cells[2] = 3
        return cells

    agree(compute, device, "one assignment changed another cell")


def isfinite_leaves_its_neighbours_alone(device: str) -> None:
    """Reported of 1.5 million rows and more, in nine runs of ten: hence the five tries."""
    rows = 1_600_000 if device == "mps" else 160
    if device == "mps":
        require_memory(8)

    def compute(device: str) -> Tensor:
        intact = []
        for _ in range(5):
            table = torch.ones(rows, 464, device=device)
            guards = [torch.full((rows,), 7.0, device=device) for _ in range(8)]
            for question in (torch.isfinite, torch.isinf):
                answer = question(table[:, 4:50])
                intact.append((answer == (question is torch.isfinite)).all().cpu())
            intact += [(guard == 7).all().cpu() for guard in guards]
        return torch.stack(intact)

    assert under_test(compute, device).all(), "isfinite or isinf on a slice wrote elsewhere"


# Numbers at the edge: NaN, nothing at all, large integers.


def maximum_passes_nan_on(device: str) -> None:
    def compute(device: str) -> Tensor:
        left = torch.tensor([1.0, float("nan"), 3.0, 4.0]).to(device)
        right = left.flip(0)
        return torch.cat([torch.maximum(left, right), torch.minimum(left, right)])

    agree(compute, device, "maximum or minimum dropped a NaN")


def argmax_finds_nan(device: str) -> None:
    def compute(device: str) -> Tensor:
        values = torch.tensor([1.0, float("nan"), 3.0]).to(device)
        return torch.stack([values.argmax(), values.argmin()])

    agree(compute, device, "argmax or argmin passed over a NaN")


def clamp_passes_nan_on(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.tensor([float("nan"), -2.0, 0.5]).to(device).clamp(-1, 1)

    agree(compute, device, "clamp made a number of a NaN")


def all_of_nothing_is_true(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.zeros(64, 0, dtype=torch.bool, device=device).all(1)

    agree(compute, device, "all() over an empty axis is not true")


def cumsum_of_booleans_counts_beyond_127(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.ones(300, dtype=torch.bool, device=device).cumsum(0)

    agree(compute, device, "cumsum of booleans overflowed")


def abs_of_large_integers_is_exact(device: str) -> None:
    def compute(device: str) -> Tensor:
        values = torch.tensor([-(2**24 + 1), 2**31 - 1, -(2**30 + 1)], dtype=torch.int64)
        return values.to(device).abs()

    agree(compute, device, "abs rounded an integer", tolerance=0)


# Copies.


def non_blocking_copies_arrive(device: str) -> None:
    """The source is gone before the copy is done, and its memory may be in use again."""

    def compute(device: str) -> Tensor:
        copies = [
            torch.full((1024,), float(number)).to(device, non_blocking=True)
            for number in range(2048)
        ]
        return torch.stack([copy[-1] for copy in copies])

    agree(compute, device, "a non_blocking copy brought something else")


# Products.


def linear_takes_a_transposed_weight(device: str) -> None:
    def compute(device: str) -> Tensor:
        weight, x = torch.randn(32, 16).to(device), torch.randn(3, 32).to(device)
        return functional.linear(x, weight.t())

    agree(compute, device, "linear misread a transposed weight")


def linear_takes_a_transposed_bfloat16_weight(device: str) -> None:
    def compute(device: str) -> Tensor:
        x = torch.randn(2, 256, 256).to(device, torch.bfloat16)
        weight = torch.randn(256, 256).to(device, torch.bfloat16)
        return functional.linear(x, weight.t()).float()

    agree(compute, device, "linear in bfloat16 is wrong", tolerance=0.3)


def long_products_end_where_they_should(device: str) -> None:
    def compute(device: str) -> Tensor:
        totals = []
        for length in (32_767, 32_769, 40_000):
            unclean(device)
            left, right = whole(32, length).to(device), whole(length, 32).to(device)
            totals.append(left @ right)
        return torch.stack(totals)

    agree(compute, device, "a long matrix product summed past the end", tolerance=0)


def long_batched_products_end_where_they_should(device: str) -> None:
    def compute(device: str) -> Tensor:
        totals = []
        for length in (32_767, 32_769, 40_000):
            unclean(device)
            left, right = whole(2, 32, length).to(device), whole(2, length, 32).to(device)
            totals += [torch.bmm(left, right), torch.einsum("bik,bkj->bij", left, right)]
        return torch.stack(totals)

    agree(compute, device, "a long batched product summed past the end", tolerance=0)


def huge_batched_products_are_right_to_the_last(device: str) -> None:
    """The output has more than 2**32 elements; three of its batches are looked at."""
    batches = 65_536 + 16 if device == "mps" else 16
    if device == "mps":
        require_memory(12)

    def compute(device: str) -> Tensor:
        left = torch.arange(batches * 512).remainder(7).view(batches, 2, 256).half()
        right = torch.ones(1, 2, 256).half()
        chosen = [0, batches // 2, batches - 1]
        if device == "cpu" and batches > 16:  # the CPU need not know the rest
            left, batch = left[chosen], [0, 1, 2]
        else:
            batch = chosen
        left = left.to(device).transpose(1, 2)  # (batches, 256, 2)
        product = torch.bmm(left, right.to(device).expand(len(left), 2, 256))
        return torch.stack([product[each].cpu() for each in batch])

    agree(compute, device, "a huge batched product is wrong")


# What several hazards need.


def whole(*shape: int) -> Tensor:
    """Return small whole numbers: float32 adds up tens of thousands of them exactly."""
    return torch.randint(-3, 4, shape).float()


def unclean(device: str) -> None:
    """Leave large numbers in memory that the next tensors may get, or lie beside."""
    for size in (2**20, 2**18, 2**16):
        torch.full((size,), 1e6, device=device)


def require_memory(gigabytes: int) -> None:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < gigabytes:
        raise CannotAskError(f"needs {gigabytes} GB of free memory; there are {free:.0f}")
