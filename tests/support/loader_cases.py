"""Loaders to trace: every way to make and to use one that the patches could disturb, drawn by lot."""

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
    stop: int | None  # break after so many batches
    nested: bool  # a second loader is run through inside the first batch
    stateful: bool

    def has_batches(self) -> bool:
        """Say whether this process gets a batch; a loader without any is the bug itself."""
        whole = math.floor if self.drop_last else math.ceil
        shares = self.processes if not self.split else 1
        skipped = self.skip if self.route == "prepare" and "map" in self.dataset else 0
        if self.dispatch:  # skips from all batches, then deals them out
            return whole((whole(self.length / (self.batch_size or 1)) - skipped) / shares) > 0
        if "iterable" in self.dataset:  # deals out rows
            return whole(self.length / (self.batch_size or 1) / shares) > 0
        return whole(whole(self.length / (self.batch_size or 1)) / shares) - skipped > 0

    def makes_sense(self) -> bool:
        """Say whether torch and accelerate accept the combination at all."""
        sized = self.batch_size is not None or not (self.drop_last or self.split)
        shared = self.batch_size is not None and self.route == "prepare"
        return (
            sized
            and (self.put or not self.dispatch)
            and not (self.shuffle and "iterable" in self.dataset)
            and (self.route == "prepare" or not (self.dispatch or self.split or self.seedable))
            and (self.processes == 1 or shared)
            and not (self.dispatch and self.process)  # it would wait for the first one
            and not (self.split and self.processes == 2 and (self.batch_size or 1) % 2)
            and not (self.stateful and self.route == "prepare" and self.skip)
        )


def cases(count: int, stateful: bool) -> list[Case]:
    """Return so many different cases, always the same ones."""
    dice = random.Random(f"traces {stateful}")  # noqa: S311
    flip = (False, True)
    found: dict[Case, None] = {}
    while len(found) < count:
        processes = dice.choice((1, 1, 1, 2))
        case = Case(
            dataset=dice.choice(("map", "map", "map-epochs", "iterable", "iterable-epochs")),
            length=dice.randint(1, 7),
            batch_size=dice.choice((None, 1, 2, 3, 4)),
            drop_last=dice.choice(flip),
            shuffle=dice.choice(flip),
            collate=dice.choice(("tensor", "tensor", "dict", "none", "none-first")),
            route=dice.choice(("prepare", "prepare", "shard")),
            skip=dice.choice((0, 0, 1, 3, 99)),
            put=dice.choice(flip),
            dispatch=dice.choice(flip),
            split=dice.choice(flip),
            processes=processes,
            process=dice.randrange(processes),
            seedable=dice.choice(flip),
            rng=dice.choice((None, "torch", "generator")),
            stop=dice.choice((None, None, None, 0, 1, 2, 3)),
            nested=dice.random() < 0.2,
            stateful=stateful,
        )
        if case.makes_sense() and case.has_batches():
            found[case] = None
    return list(found)
