"""The transit CNN's step at batch 64 as guide 002's loop has it, and as ours is; and whether they agree.

    metalassay compare tools/cnn_loops.py::guide tools/cnn_loops.py::ours:malloc=tuned --budget 300
    python tools/cnn_loops.py     the largest difference of the two loss curves, over 100 steps

The first times both in processes of their own, as ours wants freed memory kept. The guide's loop is
run in float32 on the CPU, without its half precision and without worker processes (whose work would not
count as the loop's own): batches from a shuffling DataLoader, AdamW, OneCycleLR, clipping.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from metalassay.models.two_branch_cnn import TwoBranchCNN
from metalassay.training import transit
from metalassay.training.optimizer import FlatAdamW, OneCycle
from metalassay.workloads import Batch

BATCH, CURVES, STEPS, PEAK, DECAY = 64, 1024, 100, 5e-3, 1e-4
LONG = 1_000_000  # steps of the schedule where it is only timed


def curves() -> transit.Curves:
    """Return random curves; what is in them does not matter for speed."""
    generator = torch.Generator().manual_seed(0)
    whole, near = (torch.randn(CURVES, 1, bins, generator=generator) for bins in (2001, 201))
    return transit.Curves(whole, near, (torch.arange(CURVES) % 2).float())


def forever(found: transit.Curves) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches as the guide draws them."""
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(found.whole, found.near, found.planet)
    while True:
        yield from DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)


def literal(
    model: TwoBranchCNN, batches: Iterator[tuple[Tensor, ...]], steps: int
) -> Callable[[], float]:
    """Return the guide's step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=DECAY)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=PEAK,
        total_steps=steps,
        pct_start=0.1,
        div_factor=25,
        final_div_factor=1000,
    )

    def step() -> float:
        whole, near, planet = next(batches)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.binary_cross_entropy_with_logits(model(whole, near).squeeze(), planet)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        return loss.item()

    return step


def mended(model: TwoBranchCNN, batches: Iterator[Batch], steps: int) -> Callable[[], float]:
    """Return our step."""
    optimizer, schedule = FlatAdamW(model, DECAY), OneCycle(PEAK, steps, momenta=(0.85, 0.95))
    numbers = itertools.count()

    def step() -> float:
        optimizer.zero_grad()
        loss = transit.loss(model, next(batches))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.clip(1.0)
        number = next(numbers)
        optimizer.rate = schedule.rate(number)
        optimizer.betas = (schedule.momentum(number) or 0.9, 0.999)
        optimizer.step()
        return loss.item()

    return step


def shuffled(found: transit.Curves) -> Iterator[Batch]:
    """Yield batches as ours draws them."""
    source = transit.Shuffled(found, BATCH, 0)
    while True:
        yield source.next()


def guide() -> Callable[[], float]:
    """Make the guide's step, for `metalassay compare`."""
    return literal(TwoBranchCNN(), forever(curves()), LONG)


def ours() -> Callable[[], float]:
    """Make our step."""
    return mended(TwoBranchCNN(), shuffled(curves()), LONG)


def main() -> None:
    """Train both from the same weights on the same batches; print how far the losses are apart."""
    torch.manual_seed(0)
    found = curves()
    first = TwoBranchCNN()
    first.dropout.p = 0.0  # two models draw other random numbers
    second = copy.deepcopy(first)
    batches = [next(batch) for batch in [shuffled(found)] for _ in range(STEPS)]
    theirs = literal(first, iter([(*each.inputs, each.target) for each in batches]), STEPS)
    mine = mended(second, iter(batches), STEPS)
    apart, last = 0.0, 0.0
    for _ in range(STEPS):
        last, other = mine(), theirs()
        apart = max(apart, abs(last - other))
    print(f"{STEPS} steps: losses at most {apart:.1e} apart, the last {last:.6f}")


if __name__ == "__main__":
    main()
