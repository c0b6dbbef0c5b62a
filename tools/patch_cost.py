"""Measure the cost of the patches per batch: a loop over one loader, stock and patched in turns.

The order alternates from round to round, so that a busy machine slows both alike. The results are
the medians of the ratio and of the difference within a round, in the thread's CPU time.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader, IterableDataset

from metalassay.patches import (
    accelerate_empty_dispatcher,
    accelerate_empty_epoch,
    accelerate_empty_shard,
)

BATCHES = 200
ROUNDS = 401
PATCHES = (accelerate_empty_shard, accelerate_empty_dispatcher, accelerate_empty_epoch)


class Stream(IterableDataset[torch.Tensor]):
    """A dataset with very cheap batches, so that accelerate's own loop takes most of the time."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield the same batch ``BATCHES`` times."""
        batch = torch.zeros(1)
        return (batch for _ in range(BATCHES))


def loader(dispatch: bool) -> Any:
    """Return a ``DataLoaderDispatcher`` or a ``DataLoaderShard`` of ``BATCHES`` batches."""
    rows = DataLoader(Stream(), batch_size=None)
    device = torch.device("cpu")
    return prepare_data_loader(rows, device, put_on_device=True, dispatch_batches=dispatch)


def patched() -> ExitStack:
    """Return a context in which all patches are active."""
    stack = ExitStack()
    for module in PATCHES:
        stack.enter_context(module.patch())
    return stack


def microseconds(rows: Any, context: Callable[[], AbstractContextManager[Any]]) -> float:
    """Return the time per batch in µs, without that of entering and leaving the patches."""
    with context():
        began = time.thread_time()
        count = sum(1 for _ in rows)
        seconds = time.thread_time() - began
    if count != BATCHES:
        raise SystemExit(f"the loader yielded {count} batches, not {BATCHES}")
    return seconds / BATCHES * 1e6


def main() -> None:
    """Print the medians for both kinds of loader."""
    Accelerator(cpu=True)
    print(f"accelerate {importlib.metadata.version('accelerate')}, {ROUNDS} rounds of {BATCHES}")
    for name, dispatch in (("DataLoaderShard", False), ("DataLoaderDispatcher", True)):
        rows = loader(dispatch)
        rounds: list[tuple[float, float]] = []
        for number in range(ROUNDS + 1):
            if number % 2:
                stock = microseconds(rows, nullcontext)
                rounds.append((stock, microseconds(rows, patched)))
            else:
                changed = microseconds(rows, patched)
                rounds.append((microseconds(rows, nullcontext), changed))
        del rounds[0]  # the first one warms up
        print(
            f"{name:<20} stock {statistics.median(a for a, _ in rounds):6.2f} µs per batch,"
            f" patched {statistics.median(b for _, b in rounds):6.2f},"
            f" median ratio {statistics.median(b / a for a, b in rounds):.3f},"
            f" median difference {statistics.median(b - a for a, b in rounds):+.3f} µs"
        )


if __name__ == "__main__":
    main()
