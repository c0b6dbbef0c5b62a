"""The decision of a comparison, pure: from timed blocks to an interval and one of three verdicts.

Three processes live side by side: A, a second A (the null arm) and B. They take turns in palindromes
(say A B a a B A), so that whatever drifts in a straight line cancels, and so that a machine that is
busy is busy for all; six palindromes, one for every order of the three, or a multiple of six, make a block. Blocks of one such trio share what the processes
were born with (where their memory lies), so the trio is the replicate: its palindromes give one
number, their midmean, and the interval is Student's over the trios. Looking several times spends the error rate in parts that add
up to it, so the interval holds at all looks together, whenever the run stops.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metalassay.statistics.student_t import normal_quantile, t_quantile, t_two_sided

FIRST, NULL, SECOND = "A", "a", "B"
ARMS = (FIRST, NULL, SECOND)
ALPHA = 0.01
"""Error rate of a comparison: how often the interval may miss the truth, at any of the looks."""
MARGIN = 0.01
"""What counts as the same unless said otherwise: 1 % of the time."""
BLOCKS, PALINDROMES = 4, 6
"""Blocks of a trio, and palindromes of a block at least: one for every order of the arms."""
LOOKS = ((6, 0.06), (10, 0.25), (16, 0.09), (24, 0.05), (36, 0.05))
"""After how many trios to look, and which part of the error rate that look spends.

Half is kept back: on recorded noise of an overloaded machine, whose trios are not all alike, rates of
error came out up to 1.4 times what was spent.
"""
POWER = 0.95
"""How surely a difference of the size of the minimal detectable effect would have been seen."""
FEWEST = 3  # trios without which there is no interval worth printing

SLOWER, FASTER, SAME, INCONCLUSIVE = "slower", "faster", "same", "inconclusive"


@dataclass(frozen=True)
class Sample:
    """One timing: of which arm, and its seconds a step by the wall's clock and of the CPU's time."""

    arm: str
    wall: float
    cpu: float


Block = Sequence[Sample]
Trio = Sequence[Block]


@dataclass(frozen=True)
class Interval:
    """A mean log-ratio with its interval; ``replicates`` trios stand behind it.

    ``detectable`` is the size of a log-ratio that would have been told from 0 in 95 % of such runs.
    ``p`` is the chance of a mean this far from 0 where there is none, valid at all looks together.
    """

    mean: float
    low: float
    high: float
    replicates: int
    detectable: float
    p: float


@dataclass(frozen=True)
class Decision:
    """What a comparison says of B: ``verdict`` is a word of this module.

    The ratios are times of B over times of A, minus 1: 0.03 is 3 % more time. ``null`` is the same
    of A over A. ``distrusted`` is a sentence when the null arm failed, and then there is no verdict
    to rely on: it is "inconclusive".
    """

    verdict: str
    ratio: float
    low: float
    high: float
    detectable: float
    p: float
    replicates: int
    margin: float
    null: float
    null_low: float
    null_high: float
    distrusted: str | None


def orders(seed: int, arms: Sequence[str] = ARMS) -> Iterator[tuple[str, ...]]:
    """Yield the order of the arms in one palindrome after the other.

    Every order of the arms comes up once in a round; the rounds are shuffled.
    """
    chance = random.Random(seed)  # noqa: S311  (an order, no secret)
    every = list(itertools.permutations(arms))
    while True:
        chance.shuffle(every)
        for order in every:
            yield order + order[::-1]


def palindrome_logs(samples: Sequence[Sample], clock: str) -> dict[str, float]:
    """Return the log of the time that each arm took in one palindrome.

    Of an arm's two timings the mean counts, of CPU time the smaller one: what a neighbour on the same
    core or cache does only ever adds to it. On recorded noise that took 18 % off the deviation of
    CPU time, and would have added 9 % to that of wall time.
    """
    logs: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for sample in samples:
        logs[sample.arm].append(math.log(sample.cpu if clock == "cpu" else sample.wall))
    pick = min if clock == "cpu" else statistics.fmean
    return {arm: pick(values) for arm, values in logs.items()}


def trio_effects(trio: Trio, clock: str) -> tuple[float, float]:
    """Return the log-ratios of a trio: (B over A, null arm over A).

    Midmeans over its palindromes of the difference of two arms, never of one arm and the mean of two:
    times have a long tail on one side, and only a difference that turns its sign when the two change
    places has none, so that what the midmean cuts off cancels. B is held against each A, and the mean
    of both counts.
    """
    long = 2 * len(ARMS)
    logs = [
        palindrome_logs(block[start : start + long], clock)
        for block in trio
        for start in range(0, len(block), long)
    ]

    def over(arm: str, base: str) -> float:
        return midmean([each[arm] - each[base] for each in logs])

    return (over(SECOND, FIRST) + over(SECOND, NULL)) / 2, over(NULL, FIRST)


def midmean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, goes at each end."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def interval(values: Sequence[float], alpha: float, spent: float | None = None) -> Interval:
    """Return Student's interval over replicates; at least two. ``alpha`` counts both tails.

    ``spent`` is the part of ``alpha`` that this look spends (all of it when there is only one).
    """
    spent = alpha if spent is None else spent
    mean, df = statistics.fmean(values), len(values) - 1
    error = statistics.stdev(values) / math.sqrt(len(values))
    reach = t_quantile(spent, df)
    p = t_two_sided(mean / error, df) if error else float(mean == 0)
    return Interval(
        mean=mean,
        low=mean - reach * error,
        high=mean + reach * error,
        replicates=len(values),
        detectable=(reach + normal_quantile(POWER)) * error,
        p=min(1.0, p * alpha / spent),
    )


def decide(
    trios: Sequence[tuple[float, float]], *, look: int, alpha: float = ALPHA, margin: float = MARGIN
) -> Decision:
    """Judge the effects of ``trio_effects`` at look number ``look``, an index of ``LOOKS``.

    How many trios there are is free (a budget may end early), so long as it was not chosen by
    looking at them. Raises ``ValueError`` for fewer than ``FEWEST``.
    """
    if len(trios) < FEWEST:
        raise ValueError(f"{len(trios)} trios are too few for an interval")
    spent = alpha * LOOKS[look][1]
    effect = interval([each[0] for each in trios], alpha, spent)
    null = interval([each[1] for each in trios], alpha, spent)
    distrusted = None
    if word(null, margin) in (SLOWER, FASTER):
        distrusted = (
            f"the null arm, the same code against itself, came out {percent(null.mean)} "
            f"[{percent(null.low)}, {percent(null.high)}]: this machine was not fair to all"
        )
    return Decision(
        verdict=INCONCLUSIVE if distrusted else word(effect, margin),
        ratio=math.expm1(effect.mean),
        low=math.expm1(effect.low),
        high=math.expm1(effect.high),
        detectable=math.expm1(max(effect.detectable, math.log1p(margin))),
        p=effect.p,
        replicates=len(trios),
        margin=margin,
        null=math.expm1(null.mean),
        null_low=math.expm1(null.low),
        null_high=math.expm1(null.high),
        distrusted=distrusted,
    )


def word(effect: Interval, margin: float) -> str:
    """Return the verdict for an interval of log-ratios, of times of B over times of A.

    Slower or faster: the interval leaves out 0 and its middle lies beyond the margin. Same: the whole
    interval lies within the margin. Anything else has not been found out.
    """
    inside = math.log1p(margin)
    if effect.low > 0 and effect.mean > inside:
        return SLOWER
    if effect.high < 0 and effect.mean < -inside:
        return FASTER
    if -inside <= effect.low and effect.high <= inside:
        return SAME
    return INCONCLUSIVE


def holm(p: Mapping[str, float], alpha: float = ALPHA) -> set[str]:
    """Return which of a family of comparisons still differ when all are asked for together.

    S. Holm, Scandinavian Journal of Statistics 6 (1979) 65: the chance of one false name in the
    whole family stays below ``alpha``.
    """
    rejected: set[str] = set()
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        if p[name] > alpha / (len(p) - rank):
            break
        rejected.add(name)
    return rejected


def percent(log_ratio: float) -> str:
    """Write a log-ratio as a signed percentage."""
    return f"{math.expm1(log_ratio):+.1%}"
