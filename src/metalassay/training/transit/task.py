"""The transit classifier of guide 002: its data sets, its model in two sizes, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.training.loop import Task
from metalassay.training.transit import light_curves
from metalassay.training.transit.light_curves import SEASONS, STARS
from metalassay.training.transit.relu_pool import fuse
from metalassay.workloads.models.astronet import AstroNet
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN
from metalassay.workloads.registry import Batch

SIZES: Mapping[str, Callable[[], nn.Module]] = {"guide": TwoBranchCNN, "astronet": AstroNet}
PEAK_RATES = {"guide": 5e-3, "astronet": 5e-4}
MOMENTA = (0.85, 0.95)  # of the schedule, as OneCycleLR has them where guide 002 leaves it alone
PARTS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
FEWEST = 1024  # curves: below, a tenth of them says nothing
CHUNK = STARS * SEASONS  # curves that are made at once
# A curve is 2001 + 201 + 1 numbers of 4 bytes and two of 8. While the sets are divided it is there three
# times: as it was made, in one array with the others, and in its set.
BYTES = 3 * (4 * (2001 + 201 + 1) + 16)
WORKING = 100 * 10**6  # bytes that making a chunk takes


@dataclass(frozen=True)
class Curves:
    """N curves as the model wants them."""

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
    """Make at least ``curves`` light curves and divide their stars 8 : 1 : 1.

    ``watch`` hands on the numbers of the chunks, ``CHUNK`` curves each, and may show how many are done.
    Raises ``UserError`` for fewer than ``FEWEST``, and for more than there is memory for.
    """
    if curves < FEWEST:
        raise UserError(f"{curves} light curves", f"ask for at least --curves {FEWEST}")
    _require_memory(curves)
    chunks = [light_curves.chunk(seed, i) for i in watch(range(-(-curves // CHUNK)))]
    tenth = light_curves.part(np.concatenate([each.star for each in chunks]), seed)

    def gather(field: str, chosen: npt.NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(each, field) for each in chunks])[chosen])

    sets = {}
    for name, numbers in PARTS.items():
        chosen = np.isin(tenth, np.array(numbers))
        whole, near = (gather(field, chosen).unsqueeze(1) for field in ("whole", "near"))
        sets[name] = Curves(whole, near, gather("planet", chosen))
    return sets


def _require_memory(curves: int) -> None:
    """Raise ``UserError`` if ``curves`` and their copies do not fit into the memory that is free."""
    free = psutil.virtual_memory().available
    needed = WORKING + curves * BYTES
    if needed > free:
        most = (free - WORKING) // BYTES
        raise UserError(
            f"{curves:,} light curves need about {needed / 1e9:,.1f} GB of memory,"
            f" and {free / 1e9:,.1f} GB are free",
            f"ask for fewer: --curves {most}" if most >= FEWEST else "close other programs",
        )


class Shuffled:
    """Batches of ``curves`` in an order that follows from the seed and the number of the pass.

    The curves left over at the end of a pass are passed over; another pass leaves out others.
    """

    def __init__(self, curves: Curves, batch_size: int, seed: int) -> None:
        self.curves, self.batch_size, self.seed = curves, batch_size, seed
        self.batches = len(curves.planet) // batch_size
        if not self.batches:
            raise UserError(
                f"{len(curves.planet)} curves do not fill a batch of {batch_size}",
                "ask for more --curves or a smaller --batch-size",
            )
        self._number, self._pass = 0, -1

    def next(self) -> Batch:
        """Return the next batch."""
        number, within = divmod(self._number, self.batches)
        if number != self._pass:
            mixed = (self.seed * 1_000_003 + number) % 2**64  # as torch takes a negative one
            generator = torch.Generator().manual_seed(mixed)
            self._order = torch.randperm(len(self.curves.planet), generator=generator)
            self._pass = number
        self._number += 1
        return self.curves.batch(self._order[within * self.batch_size :][: self.batch_size])

    def position(self) -> int:
        """Return how many batches have been taken."""
        return self._number

    def seek(self, position: int) -> None:
        """Go to where ``position`` batches have been taken."""
        self._number = position


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the binary cross-entropy; squeezed along the last axis only, so a batch of 1 works."""
    logits = model(*batch.inputs).squeeze(1)
    return functional.binary_cross_entropy_with_logits(logits.float(), batch.target)


def scores(model: nn.Module, curves: Curves, batch_size: int = 64) -> npt.NDArray[np.float32]:
    """Return the logits of all ``curves``; call it with the model in evaluation mode."""
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(curves.planet), batch_size):
        index = torch.arange(start, min(start + batch_size, len(curves.planet)))
        batch = curves.batch(index).to(device)
        found.append(model(*batch.inputs).squeeze(1).float().cpu())
    return torch.cat(found).numpy()


def auc(score: npt.NDArray[np.float32], label: npt.NDArray[np.float32]) -> float:
    """Return the chance that a random planet scores above a random other (Mann-Whitney's U)."""
    inverse, count = np.unique(score, return_inverse=True, return_counts=True)[1:]
    rank = np.cumsum(count) - (count - 1) / 2  # of equal scores, their mean rank
    positive = label > 0.5
    n = int(positive.sum())
    total = rank[inverse][positive].sum() - n * (n + 1) / 2
    return float(total / (n * (len(label) - n)))


def task(
    size: str, sets: Mapping[str, Curves], curves: int, batch_size: int, seed: int, accumulate: int
) -> Task:
    """Return what to train; the weights follow from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = fuse(SIZES[size]())

    def evaluate() -> dict[str, float]:
        checked = sets["validation"]
        score = scores(model, checked)
        target = checked.planet.numpy()
        cross = functional.binary_cross_entropy_with_logits(torch.from_numpy(score), checked.planet)
        return {"validation_loss": cross.item(), "validation_auc": auc(score, target)}

    return Task(
        config={
            "workload": "transit",
            "size": size,
            "curves": curves,
            "batch_size": batch_size,
            "seed": seed,
        },
        model=model,
        source=Shuffled(sets["train"], batch_size, seed),
        loss=loss,
        unit="curves",
        items_per_batch=batch_size,
        evaluate=evaluate,
    )
