"""Compare the transit CNN's training step at batch 64, ours and that of guide 002: speed and losses.

    python tools/cnn_loops.py --rounds 6     CPU time per step, with processes in turns
    python tools/cnn_loops.py                the largest difference of their losses over 100 steps

Each is timed in separate processes, started as a user starts a program. Ours keeps freed memory, while
in the guide's loop memory is returned and requested in each step; ours also fuses relu and
pooling, and has a backward pass of its own for convolutions of one channel.
(`metalassay compare` randomises the heap, which often prevents this effect, so it would answer another
question.) The guide's loop runs in float32 on the CPU, without its half precision and without worker
processes (whose CPU time would not be counted): a shuffling DataLoader, AdamW, OneCycleLR, clipping.
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
from metalassay.training.transit.first_layer import replace_convolutions
from metalassay.training.transit.relu_pool import fuse
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN
from metalassay.workloads.registry import Batch

BATCH, CURVES, STEPS, PEAK, DECAY = 64, 1024, 100, 5e-3, 1e-4
LONG = 1_000_000  # steps of the schedule when the step is only timed


def curves() -> task.Curves:
    """Return random curves; their content does not matter for speed."""
    generator = torch.Generator().manual_seed(0)
    whole, near = (torch.randn(CURVES, 1, bins, generator=generator) for bins in (2001, 201))
    return task.Curves(whole, near, (torch.arange(CURVES) % 2).float())


def guide_batches(data: task.Curves) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches as the guide's loop draws them, without end."""
    from torch.utils.data import DataLoader, TensorDataset

    dataset = TensorDataset(data.whole, data.near, data.planet)
    while True:
        yield from DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)


def guide_step(
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


def our_step(model: TwoBranchCNN, batches: Iterator[Batch], steps: int) -> Callable[[], float]:
    """Return our step, which fuses relu and pooling as `metalassay train` does."""
    replace_convolutions(fuse(model))
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


def our_batches(data: task.Curves) -> Iterator[Batch]:
    """Yield batches as our training draws them, without end."""
    source = task.ShuffledBatches(data, BATCH, 0)
    while True:
        yield source.next()


def guide() -> Callable[[], float]:
    """Build the guide's step."""
    return guide_step(TwoBranchCNN(), guide_batches(curves()), LONG)


def ours() -> Callable[[], float]:
    """Build our step."""
    return our_step(TwoBranchCNN(), our_batches(curves()), LONG)


def timed(name: str) -> float:
    """Return the CPU seconds per step in this process: the median of 12 steps after 4 warm-up steps."""
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
    """Time processes in ABBA blocks; print the ratio of each block and their median."""
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
    """Time the steps, or compare the losses."""
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
    """Train both from the same weights on the same batches; print how far their losses differ."""
    torch.manual_seed(0)
    data = curves()
    first = TwoBranchCNN()
    first.dropout.p = 0.0  # the two models would draw different random numbers
    second = copy.deepcopy(first)
    batches = [next(batch) for batch in [our_batches(data)] for _ in range(STEPS)]
    theirs = guide_step(first, iter([(*each.inputs, each.target) for each in batches]), STEPS)
    mine = our_step(second, iter(batches), STEPS)
    apart, last = 0.0, 0.0
    for _ in range(STEPS):
        last, other = mine(), theirs()
        apart = max(apart, abs(last - other))
    print(f"{STEPS} steps: losses differ by at most {apart:.1e}, the last is {last:.6f}")


if __name__ == "__main__":
    main()
