"""Time one way to feed a model from memory: worker processes, none, or preloaded tensors.

Guides disagree on `num_workers` (4 or 0), and both can be right: a worker takes seconds to start where
processes are spawned (macOS, Windows), and every batch is sent through a pipe. So each setting is
timed here, in a process of its own with a time limit, with its start-up separate from its speed.

    python -m metalassay.workers.dataloader_child WORKERS BATCH SAMPLES SECONDS    prints one JSON line
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

PRELOADED = -1  # in the place of a number of workers
_BINS = (2001, 201)


class LightCurves(Dataset[tuple[Tensor, ...]]):
    """Samples for the CNN, selected from tensors in memory when they are requested."""

    def __init__(self, samples: int) -> None:
        self._curves = [torch.rand(samples, 1, bins) for bins in _BINS]
        self._labels = torch.arange(samples) % 2

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """Return both views, (1, 2001) and (1, 201), and the label."""
        return (*(curve[index] for curve in self._curves), self._labels[index])

    def batches(self, batch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield shuffled batches by selecting rows of whole tensors: no worker, no collating."""
        for rows in torch.split(torch.randperm(len(self)), batch):
            yield (*(curve.index_select(0, rows) for curve in self._curves), self._labels[rows])


def measure(workers: int, batch: int, samples: int, seconds: float) -> dict[str, float]:
    """Return the seconds to the first batch ("start_up") and samples per second after it.

    Passes over the data are repeated for ``seconds``; workers stay alive between passes. They are
    spawned on every system, as macOS does: a fork is cheaper, and not safe there.
    """
    torch.set_num_threads(1)
    data = LightCurves(samples)
    began = time.perf_counter()
    loader: DataLoader[tuple[Tensor, ...]] | None = None
    if workers != PRELOADED:
        loader = DataLoader(
            data,
            batch_size=batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="spawn" if workers else None,
        )
    first, last, seen = 0.0, began, 0
    while not first or last - began - first < seconds:
        for samples_of_batch in loader if loader is not None else data.batches(batch):
            last = time.perf_counter()
            if first:
                seen += len(samples_of_batch[-1])
            else:
                first = last - began
            if first and last - began - first >= seconds:
                break
    return {"start_up": first, "per_second": seen / max(last - began - first, 1e-9)}


def _numbers(arguments: list[str]) -> tuple[int, int, int, float]:
    workers, batch, samples, seconds = arguments
    return int(workers), int(batch), int(samples), float(seconds)


if __name__ == "__main__":
    print(json.dumps(measure(*_numbers(sys.argv[1:]))))  # noqa: T201
