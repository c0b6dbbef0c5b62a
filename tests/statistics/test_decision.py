"""The decision of a comparison on constructed times, worked by hand."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from metalassay.statistics import decision
from metalassay.statistics.decision import Interval, Sample


def effects(samples: list[Sample], clock: str) -> tuple[float, float]:
    return decision.trio_effects([samples], clock)


def palindrome(times: dict[str, float], order: str = "AaBBaA") -> list[Sample]:
    return [Sample(arm, wall=10 * times[arm], cpu=times[arm]) for arm in order]


def test_a_palindrome_compares_b_with_both_runs_of_a_and_these_with_each_other() -> None:
    effect, null = effects(palindrome({"A": 1.0, "a": 4.0, "B": 6.0}), "cpu")
    assert effect == pytest.approx(math.log(6 / 2))  # 2 is the geometric mean of 1 and 4
    assert null == pytest.approx(math.log(4))


def test_the_clock_asked_for_is_the_one_that_is_read() -> None:
    samples = [Sample("A", 1, 1), Sample("a", 1, 1), Sample("B", 2, 3)]
    assert effects(samples + samples[::-1], "wall")[0] == pytest.approx(math.log(2))
    assert effects(samples + samples[::-1], "cpu")[0] == pytest.approx(math.log(3))


@pytest.mark.parametrize("order", ["ABa", "aBA", "BaA"])
def test_what_drifts_in_a_straight_line_cancels(order: str) -> None:
    whole = order + order[::-1]
    drifting = [Sample(arm, math.exp(0.1 * i), 1) for i, arm in enumerate(whole)]
    assert effects(drifting, "wall") == pytest.approx((0, 0), abs=1e-12)


def test_a_drift_of_cpu_time_cancels_over_a_block_of_all_orders() -> None:
    orders = itertools.islice(decision.orders(seed=1), decision.PALINDROMES)
    arms = [arm for order in orders for arm in order]
    drifting = [Sample(arm, 1, math.exp(0.01 * i)) for i, arm in enumerate(arms)]
    long = 2 * len(decision.ARMS)
    found = [
        effects(drifting[start : start + long], "cpu") for start in range(0, len(drifting), long)
    ]
    assert math.fsum(each[0] for each in found) == pytest.approx(0, abs=1e-12)
    assert math.fsum(each[1] for each in found) == pytest.approx(0, abs=1e-12)


def test_of_two_cpu_times_the_smaller_counts_and_of_two_wall_times_the_mean() -> None:
    half = [Sample("A", 1, 1), Sample("a", 1, 1), Sample("B", 1, 1)]
    disturbed = [Sample("B", 4, 4), Sample("a", 1, 1), Sample("A", 1, 1)]
    assert effects(half + disturbed, "cpu")[0] == 0
    assert effects(half + disturbed, "wall")[0] == pytest.approx(math.log(2))


def test_the_midmean_is_deaf_to_one_block_in_four() -> None:
    assert decision.midmean([1.0, 3.0, 2.0, 900.0]) == 2.5
    assert decision.midmean([1.0, 2.0, 6.0]) == 3.0  # a quarter of three is none


def test_a_trio_is_judged_by_all_its_palindromes_and_not_by_blocks() -> None:
    block = [
        sample
        for factor in (1.0, 1.1, 1.2, 50.0)
        for sample in palindrome({"A": 1.0, "a": 1.0, "B": factor})
    ]
    quiet = palindrome({"A": 1.0, "a": 1.0, "B": 1.1}) * 4
    # eight log-ratios: 1, 1.1 five times, 1.2, 50; the middle four are all 1.1
    assert decision.trio_effects([block, quiet], "cpu")[0] == pytest.approx(math.log(1.1))


def test_a_long_tail_on_one_side_does_not_move_what_is_the_same() -> None:
    """Over all ways to deal the same three recordings out, B is as often above as below."""
    chance = random.Random(4)  # noqa: S311
    logs = {arm: [chance.expovariate(1) ** 3 for _ in range(8)] for arm in decision.ARMS}
    found = []
    for parts in itertools.permutations(decision.ARMS):
        trio = [
            palindrome(
                {part: math.exp(logs[arm][i]) for arm, part in zip("AaB", parts, strict=True)}
            )
            for i in range(8)
        ]
        found.append(decision.trio_effects(trio, "cpu")[0])
    assert math.fsum(found) == pytest.approx(0, abs=1e-12)
    assert max(map(abs, found)) > 0.01


def test_every_order_of_the_arms_comes_up_equally_often_and_is_mirrored() -> None:
    found = list(itertools.islice(decision.orders(seed=3), 12))
    assert sorted(found[:6]) == sorted(found[6:])
    assert len(set(found[:6])) == 6
    assert all(order == order[::-1] for order in found)
    assert list(itertools.islice(decision.orders(seed=3), 12)) == found


def test_the_interval_is_students() -> None:
    # mean 2, sd 1, three values: 4.303 is t for 5 % and 2 degrees of freedom
    found = decision.interval([1.0, 2.0, 3.0], alpha=0.05)
    reach = 4.3027 / math.sqrt(3)
    assert (found.low, found.mean, found.high) == pytest.approx((2 - reach, 2, 2 + reach), abs=1e-3)
    # 2 / (1 / sqrt 3) = 3.464, whose two-sided p is 0.0742
    assert found.p == pytest.approx(0.0742, abs=1e-4)


def test_a_look_that_spends_half_of_the_error_rate_doubles_p_and_widens_the_interval() -> None:
    whole, half = decision.interval([1, 2, 4.0], 0.02), decision.interval([1, 2, 4.0], 0.02, 0.01)
    assert half.p == pytest.approx(2 * whole.p)
    assert half.high > whole.high


def test_the_looks_together_spend_the_error_rate_and_no_more() -> None:
    assert math.fsum(part for _, part in decision.LOOKS) <= 1
    trios = [count for count, _ in decision.LOOKS]
    assert trios == sorted(set(trios))
    assert trios[0] >= decision.FEWEST


@pytest.mark.parametrize(
    ("low", "mean", "high", "word"),
    [
        (0.02, 0.03, 0.04, "slower"),
        (0.001, 0.011, 0.021, "slower"),
        (-0.04, -0.03, -0.02, "faster"),
        (-0.001, 0.03, 0.061, "inconclusive"),  # may be nothing
        (0.001, 0.008, 0.015, "inconclusive"),  # something, but perhaps within the margin
        (0.001, 0.005, 0.009, "same"),  # something, and surely within the margin
        (-0.009, 0.0, 0.009, "same"),
        (-0.011, 0.0, 0.009, "inconclusive"),
        (-0.2, 0.0, 0.2, "inconclusive"),
    ],
)
def test_three_verdicts(low: float, mean: float, high: float, word: str) -> None:
    assert decision.word(Interval(mean, low, high, 10, 0.0, 0.0), margin=0.01) == word


def test_a_null_arm_that_differs_takes_the_verdict_away() -> None:
    trios = [(0.05 + 0.001 * (i % 3), 0.04 + 0.001 * (i % 2)) for i in range(10)]
    found = decision.decide(trios, look=1)
    assert found.verdict == "inconclusive"
    assert found.distrusted is not None
    assert "null arm" in found.distrusted
    fair = decision.decide([(effect, null - 0.0405) for effect, null in trios], look=1)
    assert (fair.verdict, fair.distrusted) == ("slower", None)


def test_a_null_arm_that_differs_by_less_than_the_margin_is_no_reason_to_distrust() -> None:
    trios = [(0.05 + 0.001 * (i % 3), 0.005 + 0.0001 * (i % 2)) for i in range(10)]
    assert decision.decide(trios, look=1).verdict == "slower"


def test_the_detectable_difference_is_never_said_to_be_below_the_margin() -> None:
    trios = [(1e-6 * i, 1e-6 * i) for i in range(6)]
    assert decision.decide(trios, look=0).detectable == pytest.approx(0.01)


def test_two_trios_are_no_ground_for_anything() -> None:
    with pytest.raises(ValueError, match="too few"):
        decision.decide([(0.0, 0.0)] * 2, look=0)


def test_holm_asks_more_of_each_where_more_are_asked() -> None:
    assert decision.holm({"a": 0.009}, alpha=0.01) == {"a"}
    # 0.003 <= 0.01 / 3; then 0.006 > 0.01 / 2, so it and all above it stay
    assert decision.holm({"a": 0.006, "b": 0.003, "c": 0.0061}, alpha=0.01) == {"b"}
    assert decision.holm({"a": 0.0049, "b": 0.003, "c": 0.0099}, alpha=0.01) == {"a", "b", "c"}
    assert decision.holm({}) == set()
