"""The transit CNN's step at batch 64 as guide 002's loop has it, and as ours is; and whether they agree.

    python tools/cnn_loops.py --rounds 6     CPU time of a step, processes in turns
    python tools/cnn_loops.py                the largest difference of their losses, over 100 steps

Each is timed in processes of its own, started as a user starts a program: ours keeps freed memory,
and where the guide's does not, memory comes and goes each step; ours has relu and pooling in one.
(`metalassay compare` lays memory about at random, which often stops that: it answers another
question here.) The guide's loop is run in float32 on the CPU, without its half precision and
without worker processes (whose work would not count as the loop's own): batches from a shuffling
DataLoader, AdamW, OneCycleLR, clipping.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from metalassay.machine.malloc import keep_freed_memory
from metalassay.training.optimizer import FlatAdamW, OneCycle
from metalassay.training.transit import task
from metalassay.training.transit.relu_pool import fuse
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN
from metalassay.workloads.registry import Batch

BATCH, CURVES, STEPS, PEAK, DECAY = 64, 1024, 100, 5e-3, 1e-4
LONG = 1_000_000  # steps of the schedule where it is only timed


def curves() -> task.Curves:
    """Return random curves; what is in them does not matter for speed."""
    generator = torch.Generator().manual_seed(0)
    whole, near = (torch.randn(CURVES, 1, bins, generator=generator) for bins in (2001, 201))
    return task.Curves(whole, near, (torch.arange(CURVES) % 2).float())


def forever(found: task.Curves) -> Iterator[tuple[Tensor, ...]]:
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
    """Return our step; as `metalassay train` does, it fuses relu and pooling."""
    fuse(model)
    optimizer, schedule = FlatAdamW(model, DECAY), OneCycle(PEAK, steps, momenta=(0.85, 0.95))
    numbers = itertools.count()

    def step() -> float:
        optimizer.zero_grad()
        loss = task.loss(model, next(batches))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.clip(1.0)
        number = next(numbers)
        optimizer.rate = schedule.rate(number)
        optimizer.betas = (schedule.momentum(number) or 0.9, 0.999)
        optimizer.step()
        return loss.item()

    return step


def shuffled(found: task.Curves) -> Iterator[Batch]:
    """Yield batches as ours draws them."""
    source = task.ShuffledBatches(found, BATCH, 0)
    while True:
        yield source.next()


def guide() -> Callable[[], float]:
    """Make the guide's step."""
    return literal(TwoBranchCNN(), forever(curves()), LONG)


def ours() -> Callable[[], float]:
    """Make our step."""
    return mended(TwoBranchCNN(), shuffled(curves()), LONG)


def timed(name: str) -> float:
    """Return the CPU seconds of a step, the median of 12 after 4, in this process."""
    torch.set_num_threads(1)
    if name == "ours":
        keep_freed_memory()
    step, seconds = {"ours": ours, "guide": guide}[name](), []
    for _ in range(16):
        began = time.process_time()
        step()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds[4:])


def in_turns(rounds: int) -> None:
    """Start processes in palindromes; print the ratio of each and their median."""
    ratios = []
    for number in range(rounds):
        seconds: dict[str, list[float]] = {"guide": [], "ours": []}
        for name in ("guide", "ours", "ours", "guide"):
            command = [sys.executable, __file__, "--time", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout))
        ratios.append(sum(seconds["guide"]) / sum(seconds["ours"]))
        print(f"round {number + 1}: {ratios[-1]:.2f} x", flush=True)
    print(f"median {statistics.median(ratios):.2f} x [{min(ratios):.2f}, {max(ratios):.2f}]")


def main() -> None:
    """Time, or compare the losses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--time", choices=("guide", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time:
        print(timed(options.time))
    elif options.rounds:
        in_turns(options.rounds)
    else:
        losses()


def losses() -> None:
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
