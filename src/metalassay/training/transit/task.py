"""The transit classifier of guide 002: its data sets, its two models, and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.training.loop import Task
from metalassay.training.train_state import BatchSource
from metalassay.training.transit import light_curves
from metalassay.training.transit.first_layer import replace_convolutions
from metalassay.training.transit.light_curves import SEASONS, STARS
from metalassay.training.transit.mixup import MixedBatches
from metalassay.training.transit.relu_pool import fuse
from metalassay.workloads.models.astronet import AstroNet
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN
from metalassay.workloads.registry import Batch

SIZES: Mapping[str, Callable[[], nn.Module]] = {"guide": TwoBranchCNN, "astronet": AstroNet}
PEAK_RATES = {"guide": 5e-3, "astronet": 5e-4}
MOMENTA = (
    0.85,
    0.95,
)  # of the schedule: the defaults of OneCycleLR, which guide 002 does not change
PARTS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
WEIGHT_DECAY = 1e-4
FEWEST = 1024  # curves; a tenth of fewer is too small a test set
CHUNK = STARS * SEASONS  # curves that are generated at once
# A curve is 2001 + 201 + 1 numbers of 4 bytes and two of 8. While the sets are split, there are three
# copies: the chunk, one array of all curves, and the set.
BYTES = 3 * (4 * (2001 + 201 + 1) + 16)
WORKING = 100 * 10**6  # bytes needed to generate a chunk


@dataclass(frozen=True)
class Curves:
    """N curves as input of the model."""

    whole: Tensor  # (N, 1, 2001)
    near: Tensor  # (N, 1, 201)
    planet: Tensor  # (N,), 1 or 0

    def batch(self, index: Tensor) -> Batch:
        """Return the curves at ``index``."""
        inputs = (self.whole.index_select(0, index), self.near.index_select(0, index))
        return Batch(inputs, self.planet.index_select(0, index))


def make(
    seed: int, curves: int, watch: Callable[[range], Iterable[int]] = iter
) -> dict[str, Curves]:
    """Generate at least ``curves`` light curves and split their stars 8 : 1 : 1.

    ``watch`` iterates over the numbers of the chunks, ``CHUNK`` curves each, and may show progress.
    Raises ``UserError`` for fewer than ``FEWEST`` curves, and for more than fit into memory.
    """
    if curves < FEWEST:
        raise UserError(f"{curves} light curves are too few", f"choose at least --curves {FEWEST}")
    _require_memory(curves)
    chunks = [light_curves.chunk(seed, i) for i in watch(range(-(-curves // CHUNK)))]
    tenth = light_curves.tenth(np.concatenate([chunk.star for chunk in chunks]), seed)

    def gather(field: str, chosen: npt.NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(chunk, field) for chunk in chunks])[chosen])

    sets = {}
    for name, numbers in PARTS.items():
        chosen = np.isin(tenth, np.array(numbers))
        whole, near = (gather(field, chosen).unsqueeze(1) for field in ("whole", "near"))
        sets[name] = Curves(whole, near, gather("planet", chosen))
    return sets


def _require_memory(curves: int) -> None:
    """Raise ``UserError`` if ``curves`` and their copies do not fit into the free memory."""
    free = psutil.virtual_memory().available
    needed = WORKING + curves * BYTES
    if needed > free:
        most = (free - WORKING) // BYTES
        raise UserError(
            f"{curves:,} light curves need about {needed / 1e9:,.1f} GB of memory,"
            f" and {free / 1e9:,.1f} GB are free",
            f"choose at most --curves {most}" if most >= FEWEST else "close other programs",
        )


def batches(seed: int, curves: int, batch_size: int) -> int:
    """Return how many batches a pass over the training set has, from the number of curves alone."""
    stars = np.arange(-(-curves // CHUNK) * STARS, dtype=np.int64)
    chosen = np.isin(light_curves.tenth(stars, seed), np.array(PARTS["train"]))
    return int(chosen.sum()) * SEASONS // batch_size


class ShuffledBatches:
    """Batches of ``curves`` in an order that depends on the seed and the number of the pass.

    An incomplete batch at the end of a pass is skipped; each pass leaves out other curves.
    """

    def __init__(self, curves: Curves, batch_size: int, seed: int) -> None:
        self.curves, self.batch_size, self.seed = curves, batch_size, seed
        self.batches = len(curves.planet) // batch_size
        if not self.batches:
            raise UserError(
                f"{len(curves.planet)} curves do not fill a batch of {batch_size}",
                "choose more --curves or a smaller --batch-size",
            )
        self._number, self._pass = 0, -1

    def next(self) -> Batch:
        """Return the next batch."""
        number, within = divmod(self._number, self.batches)
        if number != self._pass:
            mixed = (self.seed * 1_000_003 + number) % 2**64  # as torch does with a negative seed
            generator = torch.Generator().manual_seed(mixed)
            self._order = torch.randperm(len(self.curves.planet), generator=generator)
            self._pass = number
        self._number += 1
        return self.curves.batch(self._order[within * self.batch_size :][: self.batch_size])

    def position(self) -> int:
        """Return the number of batches taken so far."""
        return self._number

    def seek(self, position: int) -> None:
        """Go to the state after ``position`` batches. Raises ``ValueError`` for what is no number of them."""
        if type(position) is not int or not 0 <= position < 2**63:
            raise ValueError(f"{position!r} is not a number of batches")
        self._number = position


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the binary cross-entropy; only the last axis is squeezed, so a batch of 1 works."""
    logits = model(*batch.inputs).squeeze(1)
    return functional.binary_cross_entropy_with_logits(logits.float(), batch.target)


def smoothed_loss(smoothing: float, model: nn.Module, batch: Batch) -> Tensor:
    """Return the loss with labels that are ``smoothing / 2`` away from 0 and 1 (Szegedy et al. 2016)."""
    target = batch.target * (1 - smoothing) + smoothing / 2
    return loss(model, Batch(batch.inputs, target))


def scores(model: nn.Module, curves: Curves, batch_size: int = 64) -> npt.NDArray[np.float32]:
    """Return the logits of all ``curves``, (N,); the model must be in evaluation mode."""
    device = next(model.parameters()).device
    logits = []
    for start in range(0, len(curves.planet), batch_size):
        index = torch.arange(start, min(start + batch_size, len(curves.planet)))
        batch = curves.batch(index).to(device)
        logits.append(model(*batch.inputs).squeeze(1).float().cpu())
    return torch.cat(logits).numpy()


def auc(score: npt.NDArray[np.float32], label: npt.NDArray[np.float32]) -> float:
    """Return the probability that a random planet scores above a random non-planet (Mann-Whitney U)."""
    inverse, count = np.unique(score, return_inverse=True, return_counts=True)[1:]
    rank = np.cumsum(count) - (count - 1) / 2  # equal scores share their mean rank
    positive = label > 0.5
    n = int(positive.sum())
    total = rank[inverse][positive].sum() - n * (n + 1) / 2
    return float(total / (n * (len(label) - n)))


def model_of(size: str) -> nn.Module:
    """Return a new classifier of ``size`` with what makes its training on the CPU faster."""
    return replace_convolutions(fuse(SIZES[size]()))


def task(
    size: str,
    sets: Mapping[str, Curves],
    curves: int,
    batch_size: int,
    seed: int,
    accumulate: int,
    data: Mapping[str, Any] | None = None,
    label_smoothing: float = 0.0,
    mixup: float = 0.0,
) -> Task:
    """Return the training task; the weights are initialised from ``seed``.

    ``data`` identifies light curves that are not made from the seed. ``mixup`` is the parameter of its
    distribution; with 0, and a ``label_smoothing`` of 0, there is none. Both are for the training alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        classifier = model_of(size)

    def validate() -> dict[str, float]:
        curves = sets["validation"]
        score = scores(classifier, curves)
        entropy = functional.binary_cross_entropy_with_logits(
            torch.from_numpy(score), curves.planet
        )
        return {
            "validation_loss": entropy.item(),
            "validation_auc": auc(score, curves.planet.numpy()),
        }

    options = {"label_smoothing": label_smoothing, "mixup": mixup}
    source: BatchSource = ShuffledBatches(sets["train"], batch_size, seed)
    if mixup:
        source = MixedBatches(source, mixup, seed)
    return Task(
        config={
            "workload": "transit",
            "size": size,
            "curves": curves,
            "batch_size": batch_size,
            "seed": seed,
            **({"data": dict(data)} if data else {}),
            **{name: value for name, value in options.items() if value},
        },
        model=classifier,
        source=source,
        loss=partial(smoothed_loss, label_smoothing) if label_smoothing else loss,
        unit="curves",
        items_per_batch=batch_size,
        evaluate=validate,
    )
