"""Intervals of proportions against published ones, and how often they hold."""

from __future__ import annotations

import math

import pytest

from metalassay.statistics.proportion import wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, table I, the score method without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    "trials", [1, 9, 13, 20, 26, 330]
)  # with all of 9, the sum of the upper end is above 1
def test_all_mirrors_none_and_rounding_does_not_pass_0_or_1(trials: int) -> None:
    assert wilson(0, trials)[0] == 0
    assert wilson(trials, trials)[1] == 1
    assert wilson(trials, trials)[0] == pytest.approx(1 - wilson(0, trials)[1])


@pytest.mark.parametrize("trials", [1, 2, 3, 7, 622, 10**12])
def test_the_share_lies_in_its_interval_and_that_between_0_and_1(trials: int) -> None:
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        low, high = wilson(successes, trials)
        assert 0 <= low <= successes / trials <= high <= 1


def test_it_holds_about_as_often_as_it_says() -> None:
    """Exactly, from the binomial distribution: 30 trials, several probabilities."""
    held = []
    for share in (0.05, 0.2, 0.35, 0.5, 0.8):
        inside = [k for k in range(31) if wilson(k, 30)[0] <= share <= wilson(k, 30)[1]]
        held.append(sum(math.comb(30, k) * share**k * (1 - share) ** (30 - k) for k in inside))
    assert min(held) > 0.93
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_what_is_no_proportion_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes of"):
        wilson(successes, trials)
