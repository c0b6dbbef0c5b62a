"""How many rounds a replicate gets and how long an answer takes, worked out by hand."""

from __future__ import annotations

import pytest

from metalassay.compare import schedule
from metalassay.compare.schedule import Durations, More
from metalassay.statistics.decision import Decision

CHEAP = Durations(start=1.0, round=1.0)
"""Processes that are forked: six replicates of four rounds take 30 s."""
DEAR = Durations(start=12.0, round=1.0)
"""Processes that import for long: six replicates of four rounds take 96 s."""


@pytest.mark.parametrize(
    ("durations", "left", "done", "rounds"),
    [
        (CHEAP, 60, 0, 4),
        (CHEAP, 30, 0, 4),
        (CHEAP, 29, 0, 3),  # 29 / 6 - 1 = 3.8
        (CHEAP, 12, 0, 1),
        (CHEAP, 11, 0, 1),  # five replicates of one round
        (CHEAP, 10, 4, 4),
        (CHEAP, 4, 5, 3),
        (CHEAP, 1.9, 5, 0),
        (CHEAP, 4.5, 7, 3),  # the last one of a budget is as long as it can be
        (CHEAP, 500, 7, 4),
        # Room for one round more is no replicate, which would weigh as much as the others: the last one takes it.
        (CHEAP, 7, 5, 6),
        (CHEAP, 7, 8, 6),
        (CHEAP, 8, 8, 4),  # and then one of two
        (CHEAP, 3, 8, 2),
        (CHEAP, 2.9, 8, 0),
        # Where the start is dear: sqrt(8 * 12 / 1) = 9.8 rounds, if ten replicates of them fit.
        (DEAR, 1000, 0, 10),
        (DEAR, 190, 0, 7),
        (DEAR, 100, 0, 4),
        (DEAR, 80, 0, 1),  # 80 / 6 - 12 = 1.3
        (DEAR, 60, 0, 3),  # no room for six: four of 13 s, made as long as there is room
        (DEAR, 27, 0, 1),
        (DEAR, 25, 0, 13),
        (DEAR, 12, 0, 0),
    ],
)
def test_the_rounds_follow_from_durations_and_what_is_left(
    durations: Durations, left: float, done: int, rounds: int
) -> None:
    assert schedule.rounds(durations, left, done, usual=4) == rounds


@pytest.mark.parametrize("durations", [CHEAP, DEAR])
@pytest.mark.parametrize("done", range(9))
def test_no_replicate_is_longer_than_what_is_left(durations: Durations, done: int) -> None:
    for left in range(1, 200):
        rounds = schedule.rounds(durations, left, done, usual=4)
        assert rounds == 0 or durations.replicate(rounds) <= left
        # What could be half a replicate does not stay unused, and before the first analysis no round does.
        assert rounds or durations.replicate(1 if done < schedule.FIRST else 2) > left


def test_a_budget_without_room_for_the_first_analysis_has_a_better_one() -> None:
    assert schedule.enough(DEAR, left=78, spent=10, done=0) is None
    assert schedule.enough(DEAR, left=77, spent=10, done=0) == 120  # 1.1 * (10 + 6 * 16) = 116.6
    assert schedule.enough(DEAR, left=20, spent=10, done=6) is None


def answer(low: float, ratio: float, high: float) -> Decision:
    return Decision("inconclusive", ratio, low, high, 0.1, 1.0, 8, 0.01, 0, 0, 0, None, bound=0.03)


@pytest.mark.parametrize(
    ("decided", "done", "more"),
    [
        (None, 2, More(4, 20.0, 55)),  # 1.1 * (30 + 20)
        # 8 replicates reach 4 %; to see that 1 % is less than 3 % takes 8 * (4 / 2)^2 = 32 of them.
        (answer(-0.03, 0.01, 0.05), 8, More(28, 140.0, 190)),
        # 5 % is not 0 after 8 * (4.5 / 5)^2 = 6.5: the next analysis tells.
        (answer(0.005, 0.05, 0.095), 8, More(2, 10.0, 45)),
        (answer(-0.2, 0.01, 0.22), 8, None),
    ],
)
def test_what_a_full_answer_takes_is_estimated(
    decided: Decision | None, done: int, more: More | None
) -> None:
    assert schedule.missing(CHEAP, decided, done, again=30, usual=4) == more
