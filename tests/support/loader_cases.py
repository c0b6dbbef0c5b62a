"""Random cases of making and using a loader, over all options that the patches could affect."""

from __future__ import annotations

import dataclasses
import math
import random


@dataclasses.dataclass(frozen=True)
class Case:
    """A loader with at least one batch, and how it is used."""

    dataset: str  # map | map-epochs | iterable | iterable-epochs, "epochs" when it has set_epoch
    length: int
    batch_size: int | None
    drop_last: bool
    shuffle: bool
    collate: str  # tensor | dict | none | none-first
    route: str  # prepare, then skip_first_batches | DataLoaderShard(skip_batches=...)
    skip: int
    put: bool  # on the device
    dispatch: bool
    split: bool
    processes: int
    process: int
    seedable: bool
    rng: str | None
    stop: int | None  # break after this many batches
    nested: bool  # a second loader is iterated inside the first batch
    stateful: bool

    def has_batches(self) -> bool:
        """Return whether this process gets a batch; a loader without batches is the bug itself."""
        whole = math.floor if self.drop_last else math.ceil
        shares = self.processes if not self.split else 1
        skipped = self.skip if self.route == "prepare" and "map" in self.dataset else 0
        if self.dispatch:  # skips among all batches, then distributes them
            return whole((whole(self.length / (self.batch_size or 1)) - skipped) / shares) > 0
        if "iterable" in self.dataset:  # distributes rows
            return whole(self.length / (self.batch_size or 1) / shares) > 0
        return whole(whole(self.length / (self.batch_size or 1)) / shares) - skipped > 0

    def makes_sense(self) -> bool:
        """Return whether torch and accelerate accept the combination."""
        sized = self.batch_size is not None or not (self.drop_last or self.split)
        shared = self.batch_size is not None and self.route == "prepare"
        return (
            sized
            and (self.put or not self.dispatch)
            and not (self.shuffle and "iterable" in self.dataset)
            and (self.route == "prepare" or not (self.dispatch or self.split or self.seedable))
            and (self.processes == 1 or shared)
            and not (self.dispatch and self.process)  # it would wait for process 0
            and not (self.split and self.processes == 2 and (self.batch_size or 1) % 2)
            and not (self.stateful and self.route == "prepare" and self.skip)
        )


def cases(count: int, stateful: bool) -> list[Case]:
    """Return ``count`` different cases, the same on every call."""
    rng = random.Random(f"traces {stateful}")
    flip = (False, True)
    drawn: dict[Case, None] = {}
    while len(drawn) < count:
        processes = rng.choice((1, 1, 1, 2))
        case = Case(
            dataset=rng.choice(("map", "map", "map-epochs", "iterable", "iterable-epochs")),
            length=rng.randint(1, 7),
            batch_size=rng.choice((None, 1, 2, 3, 4)),
            drop_last=rng.choice(flip),
            shuffle=rng.choice(flip),
            collate=rng.choice(("tensor", "tensor", "dict", "none", "none-first")),
            route=rng.choice(("prepare", "prepare", "shard")),
            skip=rng.choice((0, 0, 1, 3, 99)),
            put=rng.choice(flip),
            dispatch=rng.choice(flip),
            split=rng.choice(flip),
            processes=processes,
            process=rng.randrange(processes),
            seedable=rng.choice(flip),
            rng=rng.choice((None, "torch", "generator")),
            stop=rng.choice((None, None, None, 0, 1, 2, 3)),
            nested=rng.random() < 0.2,
            stateful=stateful,
        )
        if case.makes_sense() and case.has_batches():
            drawn[case] = None
    return list(drawn)
