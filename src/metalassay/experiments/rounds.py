"""Rounds of an experiment: all arms are built again and take turns, beside an A/A control; imports no torch."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence

from metalassay.claims.evidence import Figures as Compared

Figures = dict[str, float]
Arm = Callable[[], Figures]
Builders = Mapping[str, Callable[[], Arm]]
"""Each makes an arm; an arm's figures are positive. The first arm is the base of all comparisons."""
Round = Mapping[str, Figures]
CONTROL = "the base again"


def measure(builders: Builders, number: int) -> dict[str, Figures]:
    """Run round ``number``: every arm, the base a second time as control, in random order and in reverse.

    Returns the geometric mean of each arm's two turns.
    """
    base = next(iter(builders))
    builders = {**builders, CONTROL: builders[base]}
    order = list(builders)
    random.Random(number).shuffle(order)  # noqa: S311 - an order, not a secret
    arms = {name: builders[name]() for name in order}
    turns: dict[str, list[Figures]] = {name: [] for name in order}
    for name in (*order, *reversed(order)):
        turns[name].append(arms[name]())
    return {
        name: {what: statistics.geometric_mean((first[what], second[what])) for what in first}
        for name, (first, second) in turns.items()
    }


def compared(arms: Sequence[str], rounds: Sequence[Round]) -> list[Compared]:
    """Return the figures of each of ``arms`` beside those of the first and its control, one per round.

    An experiment of one arm is compared with its control: what counts there is how large its figures are.
    """
    base, *others = arms
    return [
        Compared(base, arm, what, *([one[n][what] for one in rounds] for n in (base, CONTROL, arm)))
        for what in rounds[0][base]
        for arm in others or [CONTROL]
    ]
