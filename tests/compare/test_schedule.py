"""How many rounds a replicate gets and how long an answer takes, worked out by hand."""

from __future__ import annotations

import pytest

from metalassay.compare import schedule
from metalassay.compare.schedule import Durations, More
from metalassay.statistics.decision import Decision

CHEAP = Durations(start=2.0, round=1.0)
"""Processes that are forked: six replicates of four rounds take 36 s."""
DEAR = Durations(start=12.0, round=1.0)
"""Processes that import for long: six replicates of four rounds take 96 s."""
LONG = Durations(start=1.0, round=2.0)
"""Rounds that are dear, since a step takes 50 ms: sqrt(8 * 1 / 2) = 2 of them are enough for a replicate."""


@pytest.mark.parametrize(
    ("durations", "left", "done", "rounds"),
    [
        (CHEAP, 60, 0, 4),
        (CHEAP, 36, 0, 4),
        (CHEAP, 35, 0, 3),  # 35 / 6 - 2 = 3.8
        (CHEAP, 18, 0, 1),
        (CHEAP, 17, 0, 1),  # five replicates of one round
        (CHEAP, 12, 4, 4),
        (CHEAP, 5, 5, 3),
        (CHEAP, 2.9, 5, 0),
        (CHEAP, 5.5, 7, 3),  # the last one of a budget is as long as it can be
        (CHEAP, 500, 7, 4),
        # Room for one round more is no replicate, which would weigh as much as the others: the last one takes it.
        (CHEAP, 8, 5, 6),
        (CHEAP, 8, 8, 6),
        (CHEAP, 10, 8, 4),  # and then one of two
        (CHEAP, 4, 8, 2),
        (CHEAP, 3.9, 8, 0),
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
    assert schedule.rounds(durations, left, [4] * done, usual=4) == rounds


@pytest.mark.parametrize(
    ("left", "done", "rounds"),
    [
        (500, [], 2),  # sqrt(8 * 1 / 2)
        (50, [], 2),  # just ten replicates of two
        # 16 of one round reach 3.29 * sqrt(16 * 9) / 16 = 2.47; 9 of two reach 3.83 * sqrt(9 * 5) / 9 = 2.85.
        (49, [], 1),
        (18, [], 1),
        (31, [1, 1], 1),
        (5, [1] * 9, 2),  # the last one takes the rest
        (3, [1] * 9, 1),
        (2.9, [1] * 9, 0),
    ],
)
def test_replicates_are_shorter_where_a_step_is_long(
    left: float, done: list[int], rounds: int
) -> None:
    assert schedule.rounds(LONG, left, done, usual=4) == rounds


@pytest.mark.parametrize("durations", [CHEAP, DEAR, LONG])
@pytest.mark.parametrize("done", range(9))
def test_no_replicate_is_longer_than_what_is_left(durations: Durations, done: int) -> None:
    for left in range(1, 200):
        rounds = schedule.rounds(durations, left, [4] * done, usual=4)
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
        (None, 2, More(4, 24.0, 60)),  # 1.1 * (30 + 24)
        # 8 replicates reach 4 %; to see that 1 % is less than 3 % takes 8 * (4 / 2)^2 = 32 of them.
        (answer(-0.03, 0.01, 0.05), 8, More(28, 168.0, 220)),
        # 5 % is not 0 after 8 * (4.5 / 5)^2 = 6.5: the next analysis tells.
        (answer(0.005, 0.05, 0.095), 8, More(2, 12.0, 50)),
        (answer(-0.2, 0.01, 0.22), 8, None),
    ],
)
def test_what_a_full_answer_takes_is_estimated(
    decided: Decision | None, done: int, more: More | None
) -> None:
    assert schedule.missing(CHEAP, decided, done, again=30, usual=4) == more


def test_an_estimate_has_the_short_replicates_of_long_steps() -> None:
    assert schedule.missing(LONG, None, 2, again=30, usual=4) == More(4, 20.0, 55)  # of 1 + 2 * 2 s
    assert schedule.enough(LONG, left=17, spent=10, done=0) == 45  # 1.1 * (10 + 6 * 5) = 44
