"""How many rounds a replicate gets, and how long a full answer takes: from durations, never from ratios."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision
from metalassay.statistics.student_t import t_quantile

FIRST, SECOND = decision.ANALYSES[0][0], decision.ANALYSES[1][0]
WORTH = 8
"""The variance between rounds of one set of processes over that between sets.

On the recordings of real processes it is 2 to 13 (CNN 12.8, GPT 4.0, both of them on a busy machine 3.0
and 8.4). It decides how much of a replicate's time goes into rounds and how much into starting processes.
"""
SHORTEST = 0.5
"""The part of the usual number of rounds that a replicate after the first analysis has at least.

Every replicate weighs the same in the interval, so that a short last one, with its noise, can make it wider.
"""
RESERVE = 1.1  # on proposed budgets, since the next run is not exactly as fast


@dataclass(frozen=True)
class Durations:
    """Seconds that the processes of a replicate take until they are warm, and that a round takes then."""

    start: float
    round: float

    def replicate(self, rounds: float) -> float:
        """Return the seconds of a replicate."""
        return self.start + rounds * self.round


@dataclass(frozen=True)
class More:
    """What is missing for a full answer: so many replicates, seconds, and the budget that has room for all."""

    replicates: int
    seconds: float
    budget: int


def rounds(durations: Durations, left: float, done: Sequence[int], usual: int) -> int:
    """Return the rounds of the next replicate if ``left`` seconds are left; 0 if no replicate is worth it.

    ``done`` has the rounds of the replicates so far. It is the ``usual`` number where starting processes and
    rounds are cheap. Where starting is not, a process is used for longer, as far as the budget has room for the
    second analysis. Where rounds are not, since a step is long, replicates are shorter, and if there is no room
    for the second analysis, as long as makes the interval at the end of the budget the narrowest. Where there
    would be too few replicates for the first analysis, they are shorter; and where there is no room for those
    either, all there is room for is made as long as possible. The last replicate of a budget takes the rest.
    """
    best = _best(durations)
    wanted, fewest = usual, math.ceil(usual * SHORTEST)
    room = _room(durations, left, max(SECOND - len(done), 1))
    if best > usual:
        wanted = max(usual, min(room, best))
    elif best < usual:
        wanted, fewest = best, 1
        if (
            room < best or min(done, default=best) < best
        ):  # what began with short ones goes on with them
            wanted = _narrowest(durations, left, done, best) or best
    if len(done) < FIRST - 1:
        missing = FIRST - len(done)
        while missing > 1 and _room(durations, left, missing) < 1:
            missing -= 1
        room = max(_room(durations, left, missing), 0)
        return min(wanted, room) if missing == FIRST - len(done) else room
    room = max(_room(durations, left, 1), 0)
    if len(done) >= FIRST and room < fewest:
        return 0
    after = _room(durations, left - durations.replicate(wanted), 1)
    return room if after < fewest else wanted


def _best(durations: Durations) -> int:
    """Return the rounds of a replicate with which a long run gets the most out of its time."""
    return max(1, round(math.sqrt(WORTH * durations.start / durations.round)))


def _narrowest(durations: Durations, left: float, done: Sequence[int], most: int) -> int:
    """Return the number of rounds, ``most`` at most, with which the interval over all replicates is the narrowest.

    Few long replicates have little noise, but Student's interval over few is wide. 0 if there is room for none.
    """

    def each(more: int) -> float:
        return min(most, (left / more - durations.start) / durations.round)

    def reach(more: int) -> float:
        count = len(done) + more
        noise = math.fsum(1 + WORTH / rounds for rounds in done) + more * (1 + WORTH / each(more))
        return _quantile(count - 1) * math.sqrt(noise) / count

    fewest = max(decision.FEWEST - len(done), 1)
    counts = range(fewest, math.floor(left / durations.replicate(1)) + 1)
    return math.floor(each(min(counts, key=reach))) if counts else 0


@functools.cache
def _quantile(df: int) -> float:
    return t_quantile(decision.ALPHA * decision.share(0, last=True), df)


def _room(durations: Durations, left: float, replicates: int) -> int:
    """Return how many rounds each of so many replicates can have in ``left`` seconds."""
    return math.floor((left / replicates - durations.start) / durations.round)


def enough(durations: Durations, left: float, spent: float, done: int) -> int | None:
    """Return a budget that has room for the first analysis; None if the one that there is has."""
    missing = max(FIRST - done, 0)
    if missing * durations.replicate(1) <= left:
        return None
    return budget(spent + missing * durations.replicate(min(decision.ROUNDS, _best(durations))))


def missing(
    durations: Durations,
    answer: Decision | None,
    done: int,
    again: float,
    usual: int,
) -> More | None:
    """Return what a full answer would take, None where it is out of reach.

    Without an interval over replicates it is the first analysis. With one, it is the first analysis at which
    an interval that shrinks with the root of the number of replicates would exclude 0 or the bound.
    ``again`` are seconds that the next run will spend beside those.
    """
    counts: Iterable[int] = (count for count, _ in decision.ANALYSES if count > done)
    if answer is not None:
        reach = (answer.high - answer.low) / 2
        needed = max(abs(answer.ratio), answer.bound - abs(answer.ratio))
        least = done * (reach / needed) ** 2
        counts = (count for count in counts if count >= least)
    count = next(iter(counts), None)
    if count is None:
        return None
    seconds = (count - done) * durations.replicate(min(usual, _best(durations)))
    return More(count - done, round(seconds, 1), budget(again + seconds))


def budget(seconds: float) -> int:
    """Return a budget, with a reserve, as a round number of seconds."""
    return rounded(seconds * RESERVE)


def rounded(seconds: float) -> int:
    """Return the next multiple of five seconds."""
    return 5 * math.ceil(round(seconds / 5, 6))
