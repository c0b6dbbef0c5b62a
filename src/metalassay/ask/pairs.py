"""Times several steps in turns in one process, so that a change of the machine meets all of them alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metalassay.statistics.decision import interval, midmean

FEWEST, MOST = 6, 60
"""Rounds; fewer say nothing about an interval, more than these little."""
WARM_UP = 3  # steps, of which the first may be many times as long
LEVEL = 0.05
_BLOCKS = 6  # into which the rounds are put, so that an interval does not rest on single steps


@dataclass(frozen=True)
class Timing:
    """Seconds of a step (the median over the rounds), and of the very first one."""

    seconds: float
    first: float
    rounds: int


@dataclass(frozen=True)
class Ratio:
    """Time of one step over that of another, with a 95 % interval within this process."""

    ratio: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """What the interval says."""
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "not told apart"


class Turns:
    """Steps that are timed in turns, in the order given and then in the opposite one."""

    def __init__(self, steps: Mapping[str, Callable[[], object]]) -> None:
        self.steps = dict(steps)
        self.first: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {name: [] for name in steps}

    def run(self, budget: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """Warm up, and time rounds for ``budget`` seconds, at least ``FEWEST`` and at most ``MOST``."""
        for name, step in self.steps.items():
            began = clock()
            step()
            self.first.setdefault(name, clock() - began)
            for _ in range(WARM_UP - 1):
                step()
        began = clock()
        names = list(self.steps)
        rounds = 0
        while rounds < FEWEST or (clock() - began < budget and rounds < MOST):
            for name in names if rounds % 2 == 0 else reversed(names):
                start = clock()
                self.steps[name]()
                self.seconds[name].append(clock() - start)
            rounds += 1

    def timing(self, name: str) -> Timing:
        """Return the time of one of the steps."""
        seconds = self.seconds[name]
        return Timing(statistics.median(seconds), self.first[name], len(seconds))

    def ratio(self, name: str, base: str) -> Ratio:
        """Return the time of ``name`` over that of ``base``, paired by round."""
        logs = [
            math.log(a / b) for a, b in zip(self.seconds[name], self.seconds[base], strict=True)
        ]
        size = max(len(logs) // _BLOCKS, 1)
        blocks = [midmean(logs[at : at + size]) for at in range(0, len(logs) - size + 1, size)]
        found = interval(blocks, LEVEL)
        return Ratio(math.exp(midmean(logs)), math.exp(found.low), math.exp(found.high))
