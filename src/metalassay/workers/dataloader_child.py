"""Time one way to feed a model from memory: worker processes, none, or preloaded tensors.

Guides disagree on `num_workers` (4 or 0), and both can be right: a worker takes seconds to start where
processes are spawned (macOS, Windows), and every batch is sent through a pipe. So each setting is
timed here, in a process of its own with a time limit, with its start-up separate from its speed.

    python -m metalassay.workers.dataloader_child WORKERS BATCH SAMPLES SECONDS [FILE NAME]    prints one JSON line

With FILE and NAME the data are those of the user: NAME in the Python file FILE, a Dataset or what makes one.
Workers import the file by its name, as they do in a training. SECONDS of 0 only counts the samples.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, default_collate

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


class Preloaded:
    """All samples of a user's Dataset as whole tensors, collated once."""

    def __init__(self, data: Subset[Any]) -> None:
        self._whole = default_collate([data[at] for at in range(len(data))])
        self._samples = len(data)

    def batches(self, batch: int) -> Iterator[Any]:
        """Yield shuffled batches; what is no tensor stays away."""
        for rows in torch.split(torch.randperm(self._samples), batch):
            yield tree_map(
                lambda leaf, rows=rows: (
                    leaf.index_select(0, rows) if isinstance(leaf, Tensor) else None
                ),
                self._whole,
            )


def of_user(file: Path, name: str, most: int) -> Subset[Any]:
    """Return the first ``most`` samples of the user's Dataset, all for 0. Raises ``ValueError`` for what is none."""
    sys.path.insert(0, str(file.parent.absolute()))
    found = getattr(importlib.import_module(file.stem), name, None)
    if found is None:
        raise ValueError(f"{file} defines no {name}")
    if callable(found) and not isinstance(found, Dataset):
        found = found()
    if isinstance(found, IterableDataset) or not (
        isinstance(found, Sized) and hasattr(found, "__getitem__")
    ):
        raise ValueError(f"{name} is no Dataset with a length and samples by index, as dataset[0]")
    if not len(found):
        raise ValueError(f"{name} has no samples")
    count = min(len(found), most) if most else len(found)
    return Subset(found, range(count))  # type: ignore[arg-type]  # has what a Dataset needs


def measure(
    workers: int, batch: int, samples: int, seconds: float, user: Subset[Any] | None = None
) -> dict[str, float]:
    """Return the seconds to the first batch ("start_up") and samples per second after it.

    Passes over the data are repeated for ``seconds``; workers stay alive between passes. They are
    spawned on every system, as macOS does: a fork is cheaper, and not safe there.
    """
    torch.set_num_threads(1)
    data: Any = LightCurves(samples) if user is None else user
    began = time.perf_counter()
    loader: DataLoader[Any] | None = None
    if workers == PRELOADED and user is not None:
        data = Preloaded(user)
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
                seen += _samples(samples_of_batch)
            else:
                first = last - began
            if first and last - began - first >= seconds:
                break
    return {"start_up": first, "per_second": seen / max(last - began - first, 1e-9)}


def _samples(batch: Any) -> int:
    """Return how many samples a batch has: the length of its tensors, or of a list of words."""
    sizes = [len(leaf) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.dim()]
    return sizes[0] if sizes else len(batch)


def _numbers(arguments: list[str]) -> tuple[int, int, int, float]:
    workers, batch, samples, seconds = arguments
    return int(workers), int(batch), int(samples), float(seconds)


def main(arguments: list[str]) -> int:
    """Print the answer as the last line; what the user's file prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    workers, batch, samples, seconds = _numbers(arguments[:4])
    user = None
    for file, name in zip(arguments[4::2], arguments[5::2], strict=True):
        user = of_user(Path(file), name, samples)
    found = {"samples": len(user)} if user is not None and not seconds else None
    answers.write(json.dumps(found or measure(workers, batch, samples, seconds, user)) + "\n")
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
