"""The decision of a comparison, as pure functions: from timings to an interval and one of three verdicts.

Three processes run side by side: A, a second A (the A/A control) and B. They take turns in ABBA blocks
(such as A B a a B A), so that a linear drift cancels and a busy machine delays all three alike. Six
ABBA blocks, one for every order of the three, or a multiple of six, make a round. The timings of one
set of three processes share the conditions under which these started (such as where their memory
lies), so the three processes are the replicate: their ABBA blocks give one number, the midmean, and
the interval is Student's over the replicates. The interim analyses spend parts of the error rate that
add up to less than it, so the interval holds for all analyses together, whenever the run stops.

Replicates need not be equally long: with normal values of different variances Student's interval errs on
the safe side at such error rates (N. K. Bakirov and G. J. Szekely, J. Math. Sci. 139 (2006) 6497; R.
Ibragimov and U. K. Mueller, J. Bus. Econ. Stat. 28 (2010) 453).
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metalassay.statistics.student_t import normal_quantile, t_quantile, t_two_sided

FIRST, CONTROL, SECOND = "A", "a", "B"
ARMS = (FIRST, CONTROL, SECOND)
ALPHA = 0.01
"""Error rate of a comparison: how often the interval may miss the truth, at any of the analyses."""
MARGIN = 0.01
"""A smaller difference counts as the same by default: 1 % of the time."""
BOUND = 0.03
"""A comparison need not go on once differences of this size are excluded: 3 % of the time."""
ROUNDS, ABBA_BLOCKS = 4, 6
"""Rounds per replicate, and the fewest ABBA blocks per round: one for every order of the arms."""
ANALYSES = ((6, 0.06), (10, 0.25), (16, 0.09), (24, 0.05), (36, 0.05))
"""The interim analyses: after how many replicates, and which part of the error rate each spends.

Half is held in reserve: on recorded noise of an overloaded machine, whose replicates are not
identically distributed, error rates came out up to 1.4 times what was spent.
"""
POWER = 0.95
"""The probability of detecting a difference of the size of the minimal detectable effect."""
FEWEST = 3  # replicates; an interval over fewer is not worth printing
LAYOUT = 0.003
"""Standard deviation, as a log-ratio, by which one fork server shifts the effects in all its forks.

They share addresses and the hash seed. A/A cannot show it, for there nothing is shifted. 60 live decisions
with 3 % more work, each with a server of its own, varied by more than as many A/A decisions did: by 0.27 %
for the CNN and 0.25 % for the GPT (`docs/evidence/live`).
"""
WITHIN_LEVEL = 0.05
"""Error rate of the interval within processes, which decides nothing."""

SLOWER, FASTER, SAME, INCONCLUSIVE = "slower", "faster", "same", "inconclusive"


@dataclass(frozen=True)
class Sample:
    """One timing of an arm, in seconds per step: wall time and CPU time."""

    arm: str
    wall: float
    cpu: float


Round = Sequence[Sample]
Replicate = Sequence[Round]


@dataclass(frozen=True)
class Interval:
    """A mean log-ratio with its interval, from ``replicates`` replicates.

    ``detectable`` is the size of a log-ratio that would have been distinguished from 0 in 95 % of
    such runs. ``p`` is the p-value of "no difference", valid for all analyses together.
    """

    mean: float
    low: float
    high: float
    replicates: int
    detectable: float
    p: float


@dataclass(frozen=True)
class Decision:
    """The result of a comparison: ``verdict`` is one of the four words of this module.

    The ratios are times of B over times of A, minus 1: 0.03 is 3 % more time. ``null`` is the same
    for the A/A control over A. ``distrusted`` is a sentence if the control failed; the verdict is
    then "inconclusive". "Same" means that differences of ``bound`` or more are excluded.
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
    bound: float = MARGIN


@dataclass(frozen=True)
class Within:
    """The ratio within the processes that were measured: another start of them may differ more.

    ``blocks`` is the number of ABBA blocks in ``replicates`` sets of processes, with an interval of 95 %.
    """

    ratio: float
    low: float
    high: float
    blocks: int
    replicates: int


def orders(seed: int, arms: Sequence[str] = ARMS) -> Iterator[tuple[str, ...]]:
    """Yield the order of the arms in one ABBA block after the other.

    Every order of the arms comes up once per cycle; each cycle is shuffled.
    """
    chance = random.Random(seed)  # noqa: S311  (an order, not a secret)
    every = list(itertools.permutations(arms))
    while True:
        chance.shuffle(every)
        for order in every:
            yield order + order[::-1]


def block_logs(samples: Sequence[Sample], clock: str) -> dict[str, float]:
    """Return the log of the time that each arm took in one ABBA block.

    Wall time is the mean of an arm's two timings; CPU time is the smaller one, because a neighbour
    on the same core or cache can only add to it. On recorded noise the minimum reduced the standard
    deviation of CPU time by 18 %, and would have increased that of wall time by 9 %.
    """
    logs: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for sample in samples:
        logs[sample.arm].append(math.log(sample.cpu if clock == "cpu" else sample.wall))
    pick = min if clock == "cpu" else statistics.fmean
    return {arm: pick(values) for arm, values in logs.items()}


def replicate_effects(replicate: Replicate, clock: str) -> tuple[float, float]:
    """Return the log-ratios of a replicate: (B over A, A/A control over A).

    Each is a midmean, over the ABBA blocks, of the difference between two arms, never between one
    arm and the mean of two: times have a long tail on one side, and only the difference of two
    exchangeable arms is symmetric, so that what the midmean trims at both ends cancels. B is
    compared with each A, and the mean of both is returned.
    """
    long = 2 * len(ARMS)
    logs = [
        block_logs(timings[start : start + long], clock)
        for timings in replicate
        for start in range(0, len(timings), long)
    ]

    def over(arm: str, base: str) -> float:
        return midmean([block[arm] - block[base] for block in logs])

    return (over(SECOND, FIRST) + over(SECOND, CONTROL)) / 2, over(CONTROL, FIRST)


def midmean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut at each end."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def interval(
    values: Sequence[float], alpha: float, spent: float | None = None, common: float = 0.0
) -> Interval:
    """Return Student's interval over at least two replicates; ``alpha`` covers both tails.

    ``spent`` is the part of ``alpha`` that this analysis spends (by default all of it). ``common`` is the
    standard error of what the replicates have in common, which they cannot show.
    """
    spent = alpha if spent is None else spent
    mean, df = statistics.fmean(values), len(values) - 1
    error = math.hypot(statistics.stdev(values) / math.sqrt(len(values)), common)
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


def within(replicates: Sequence[Replicate], clock: str) -> Within | None:
    """Return what the ABBA blocks say about these very processes; None for fewer than two of them.

    A cycle has every order of the arms, so that its midmean is one number without the effect of an order; if
    there are few cycles, a block is one. They vary around the mean of their set of processes; how much
    sets differ is not in the interval.
    """
    block = 2 * len(ARMS)
    flat = [[timing for timings in replicate for timing in timings] for replicate in replicates]
    few = any(len(timings) < FEWEST * ABBA_BLOCKS * block for timings in flat)
    long = block if few else ABBA_BLOCKS * block
    sets = [
        [
            replicate_effects([timings[start : start + long]], clock)[0]
            for start in range(0, len(timings) - long + 1, long)
        ]
        for timings in flat
    ]
    sets = [effects for effects in sets if effects]
    df = sum(map(len, sets)) - len(sets)
    if df < 1:
        return None
    means = [statistics.fmean(effects) for effects in sets]
    squares = [
        (effect - mean) ** 2
        for effects, mean in zip(sets, means, strict=True)
        for effect in effects
    ]
    # The mean is over the sets, whose numbers of cycles may differ.
    error = math.sqrt(math.fsum(squares) / df * math.fsum(1 / len(each) for each in sets))
    mean, reach = statistics.fmean(means), t_quantile(WITHIN_LEVEL, df) * error / len(sets)
    return Within(
        ratio=math.expm1(mean),
        low=math.expm1(mean - reach),
        high=math.expm1(mean + reach),
        blocks=len(squares) * long // block,
        replicates=len(sets),
    )


def share(analysis: int, *, last: bool = False) -> float:
    """Return the part of the error rate that analysis number ``analysis``, from 0, spends.

    The ``last`` one of a run that cannot be continued spends what is left for those that will not be made.
    """
    shares = [part for _, part in ANALYSES]
    return math.fsum(shares[analysis:]) if last else shares[analysis]


def decide(
    replicates: Sequence[tuple[float, float]],
    *,
    analysis: int | None,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    bound: float | None = None,
    last: bool = False,
    over: bool = False,
    common: float = 0.0,
) -> Decision:
    """Judge the log-ratios of ``replicate_effects`` at analysis number ``analysis`` of ``ANALYSES``.

    None stands for the only analysis of a run, which spends what the interim analyses spend
    together; ``last`` is described at ``share``, ``bound`` and ``over`` at ``word``, and ``common`` at
    ``interval``: the control has none of it. The number of replicates is free (a budget may end a run
    early), provided that it was not chosen by looking at them. Raises ``ValueError`` for fewer than ``FEWEST``.
    """
    if len(replicates) < FEWEST:
        raise ValueError(f"{len(replicates)} replicates are too few for an interval")
    bound = max(margin, bound or 0.0)
    spent = alpha * share(analysis or 0, last=last or analysis is None)
    effect = interval([of_second for of_second, _ in replicates], alpha, spent, common)
    null = interval([of_control for _, of_control in replicates], alpha, spent)
    distrusted = None
    if word(null, margin) in (SLOWER, FASTER):
        distrusted = (
            f"the A/A control, the same code against itself, differed by {percent(null.mean)} "
            f"[{percent(null.low)}, {percent(null.high)}]: the machine did not treat both alike"
        )
    return Decision(
        verdict=INCONCLUSIVE if distrusted else word(effect, margin, bound, over=over),
        ratio=math.expm1(effect.mean),
        low=math.expm1(effect.low),
        high=math.expm1(effect.high),
        detectable=math.expm1(max(effect.detectable, math.log1p(margin))),
        p=effect.p,
        replicates=len(replicates),
        margin=margin,
        null=math.expm1(null.mean),
        null_low=math.expm1(null.low),
        null_high=math.expm1(null.high),
        distrusted=distrusted,
        bound=margin if _inside(effect, margin) else bound,
    )


def word(effect: Interval, margin: float, bound: float = 0.0, *, over: bool = False) -> str:
    """Return the verdict for an interval of log-ratios of times of B over times of A.

    Slower or faster: the interval excludes 0 and its centre lies beyond the margin. Same: the whole
    interval lies within the margin, or within the larger ``bound``; in that case its centre must lie within
    the margin, or the run must be ``over``, since more replicates could still find a difference.
    Anything else is inconclusive.
    """
    inside = math.log1p(margin)
    if effect.low > 0 and effect.mean > inside:
        return SLOWER
    if effect.high < 0 and effect.mean < -inside:
        return FASTER
    if _inside(effect, margin):
        return SAME
    if _inside(effect, bound) and (over or abs(effect.mean) <= inside):
        return SAME
    return INCONCLUSIVE


def _inside(effect: Interval, limit: float) -> bool:
    reach = math.log1p(limit)
    return -reach <= effect.low and effect.high <= reach


def percent(log_ratio: float) -> str:
    """Return a log-ratio as a signed percentage."""
    return f"{math.expm1(log_ratio):+.1%}"
