"""The decision of a comparison on constructed times, with results worked out by hand."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from metalassay.statistics import decision
from metalassay.statistics.decision import Interval, Sample


def effects(samples: list[Sample], clock: str) -> tuple[float, float]:
    return decision.replicate_effects([samples], clock)


def abba_block(times: dict[str, float], order: str = "AaBBaA") -> list[Sample]:
    return [Sample(arm, wall=10 * times[arm], cpu=times[arm]) for arm in order]


def test_an_abba_block_compares_b_with_both_arms_of_a_and_these_with_each_other() -> None:
    effect, null = effects(abba_block({"A": 1.0, "a": 4.0, "B": 6.0}), "cpu")
    assert effect == pytest.approx(math.log(6 / 2))  # 2 is the geometric mean of 1 and 4
    assert null == pytest.approx(math.log(4))


def test_only_the_requested_clock_is_used() -> None:
    samples = [Sample("A", 1, 1), Sample("a", 1, 1), Sample("B", 2, 3)]
    assert effects(samples + samples[::-1], "wall")[0] == pytest.approx(math.log(2))
    assert effects(samples + samples[::-1], "cpu")[0] == pytest.approx(math.log(3))


@pytest.mark.parametrize("order", ["ABa", "aBA", "BaA"])
def test_a_linear_drift_cancels(order: str) -> None:
    whole = order + order[::-1]
    drifting = [Sample(arm, math.exp(0.1 * i), 1) for i, arm in enumerate(whole)]
    assert effects(drifting, "wall") == pytest.approx((0, 0), abs=1e-12)


def test_a_drift_of_cpu_time_cancels_over_a_cycle_of_all_orders() -> None:
    orders = itertools.islice(decision.orders(seed=1), decision.ABBA_BLOCKS)
    arms = [arm for order in orders for arm in order]
    drifting = [Sample(arm, 1, math.exp(0.01 * i)) for i, arm in enumerate(arms)]
    long = 2 * len(decision.ARMS)
    found = [
        effects(drifting[start : start + long], "cpu") for start in range(0, len(drifting), long)
    ]
    assert math.fsum(each[0] for each in found) == pytest.approx(0, abs=1e-12)
    assert math.fsum(each[1] for each in found) == pytest.approx(0, abs=1e-12)


def test_the_smaller_of_two_cpu_times_and_the_mean_of_two_wall_times_are_used() -> None:
    half = [Sample("A", 1, 1), Sample("a", 1, 1), Sample("B", 1, 1)]
    disturbed = [Sample("B", 4, 4), Sample("a", 1, 1), Sample("A", 1, 1)]
    assert effects(half + disturbed, "cpu")[0] == 0
    assert effects(half + disturbed, "wall")[0] == pytest.approx(math.log(2))


def test_the_midmean_ignores_an_outlier_among_four_values() -> None:
    assert decision.midmean([1.0, 3.0, 2.0, 900.0]) == 2.5
    assert decision.midmean([1.0, 2.0, 6.0]) == 3.0  # a quarter of three rounds down to none


def test_the_midmean_is_over_all_abba_blocks_and_not_per_round() -> None:
    block = [
        sample
        for factor in (1.0, 1.1, 1.2, 50.0)
        for sample in abba_block({"A": 1.0, "a": 1.0, "B": factor})
    ]
    quiet = abba_block({"A": 1.0, "a": 1.0, "B": 1.1}) * 4
    # eight log-ratios: 1, 1.1 five times, 1.2, 50; the middle four are all 1.1
    assert decision.replicate_effects([block, quiet], "cpu")[0] == pytest.approx(math.log(1.1))


def test_a_one_sided_long_tail_does_not_bias_the_effect() -> None:
    """Over all assignments of three recordings of the same code to the arms, the effects cancel."""
    chance = random.Random(4)
    logs = {arm: [chance.expovariate(1) ** 3 for _ in range(8)] for arm in decision.ARMS}
    found = []
    for parts in itertools.permutations(decision.ARMS):
        replicate = [
            abba_block(
                {part: math.exp(logs[arm][i]) for arm, part in zip("AaB", parts, strict=True)}
            )
            for i in range(8)
        ]
        found.append(decision.replicate_effects(replicate, "cpu")[0])
    assert math.fsum(found) == pytest.approx(0, abs=1e-12)
    assert max(map(abs, found)) > 0.01


def test_every_order_of_the_arms_is_equally_frequent_and_mirrored() -> None:
    found = list(itertools.islice(decision.orders(seed=3), 12))
    assert sorted(found[:6]) == sorted(found[6:])
    assert len(set(found[:6])) == 6
    assert all(order == order[::-1] for order in found)
    assert list(itertools.islice(decision.orders(seed=3), 12)) == found


def test_the_interval_is_that_of_students_t() -> None:
    # mean 2, sd 1, three values: 4.303 is t for 5 % and 2 degrees of freedom
    found = decision.interval([1.0, 2.0, 3.0], alpha=0.05)
    reach = 4.3027 / math.sqrt(3)
    assert (found.low, found.mean, found.high) == pytest.approx((2 - reach, 2, 2 + reach), abs=1e-3)
    # 2 / (1 / sqrt 3) = 3.464, whose two-sided p is 0.0742
    assert found.p == pytest.approx(0.0742, abs=1e-4)


def test_an_analysis_that_spends_half_of_the_error_rate_doubles_p_and_widens_the_interval() -> None:
    whole, half = decision.interval([1, 2, 4.0], 0.02), decision.interval([1, 2, 4.0], 0.02, 0.01)
    assert half.p == pytest.approx(2 * whole.p)
    assert half.high > whole.high


def test_the_interim_analyses_together_spend_no_more_than_the_error_rate() -> None:
    assert math.fsum(part for _, part in decision.ANALYSES) <= 1
    replicates = [count for count, _ in decision.ANALYSES]
    assert replicates == sorted(set(replicates))
    assert replicates[0] >= decision.FEWEST


@pytest.mark.parametrize(
    ("low", "mean", "high", "word"),
    [
        (0.02, 0.03, 0.04, "slower"),
        (0.001, 0.011, 0.021, "slower"),
        (-0.04, -0.03, -0.02, "faster"),
        (-0.001, 0.03, 0.061, "inconclusive"),  # the interval includes 0
        (0.001, 0.008, 0.015, "inconclusive"),  # a difference, perhaps within the margin
        (0.001, 0.005, 0.009, "same"),  # a difference, certainly within the margin
        (-0.009, 0.0, 0.009, "same"),
        (-0.011, 0.0, 0.009, "inconclusive"),
        (-0.2, 0.0, 0.2, "inconclusive"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_margin(
    low: float, mean: float, high: float, word: str
) -> None:
    assert decision.word(Interval(mean, low, high, 10, 0.0, 0.0), margin=0.01) == word


def test_without_agreement_of_the_control_there_is_no_verdict() -> None:
    replicates = [(0.05 + 0.001 * (i % 3), 0.04 + 0.001 * (i % 2)) for i in range(10)]
    found = decision.decide(replicates, analysis=1)
    assert found.verdict == "inconclusive"
    assert found.distrusted is not None
    assert "A/A control" in found.distrusted
    fair = decision.decide([(effect, null - 0.0405) for effect, null in replicates], analysis=1)
    assert (fair.verdict, fair.distrusted) == ("slower", None)


def test_a_control_that_differs_by_less_than_the_margin_is_trusted() -> None:
    replicates = [(0.05 + 0.001 * (i % 3), 0.005 + 0.0001 * (i % 2)) for i in range(10)]
    assert decision.decide(replicates, analysis=1).verdict == "slower"


def test_the_detectable_difference_is_at_least_the_margin() -> None:
    replicates = [(1e-6 * i, 1e-6 * i) for i in range(6)]
    assert decision.decide(replicates, analysis=0).detectable == pytest.approx(0.01)


def test_two_replicates_are_too_few_for_a_decision() -> None:
    with pytest.raises(ValueError, match="too few"):
        decision.decide([(0.0, 0.0)] * 2, analysis=0)


def test_the_only_analysis_of_a_run_spends_what_the_interim_analyses_spend_together() -> None:
    replicates = [(0.03 + 0.02 * (i % 3), 0.001 * (i % 2)) for i in range(10)]
    spent = 0.01 * math.fsum(share for _, share in decision.ANALYSES)
    expected = decision.interval([effect for effect, _ in replicates], 0.01, spent)
    only = decision.decide(replicates, analysis=None)
    assert (only.low, only.high) == pytest.approx(
        (math.expm1(expected.low), math.expm1(expected.high))
    )
    assert only.low > decision.decide(replicates, analysis=0).low


@pytest.mark.parametrize(
    ("low", "mean", "high", "over", "word"),
    [
        (-0.02, 0.0, 0.02, False, "same"),
        (-0.02, 0.0, 0.031, False, "inconclusive"),
        (-0.001, 0.015, 0.029, False, "inconclusive"),  # more replicates may tell that it is slower
        (-0.001, 0.015, 0.029, True, "same"),
        (0.001, 0.015, 0.029, False, "slower"),
        (0.001, 0.015, 0.029, True, "slower"),
        (-0.031, -0.015, 0.0, True, "inconclusive"),
    ],
)
def test_what_excludes_the_bound_is_the_same_if_no_difference_can_be_found_any_more(
    low: float, mean: float, high: float, over: bool, word: str
) -> None:
    assert decision.word(Interval(mean, low, high, 10, 0, 0), 0.01, 0.03, over=over) == word


def test_the_same_names_the_bound_that_it_keeps() -> None:
    wide = [(0.008 * (-1) ** i, 0.0001 * i) for i in range(10)]
    found = decision.decide(wide, analysis=1, bound=0.03)
    assert (found.verdict, found.bound) == ("same", 0.03)
    narrow = decision.decide([(x / 10, y) for x, y in wide], analysis=1, bound=0.03)
    assert (narrow.verdict, narrow.bound) == ("same", 0.01)
    assert decision.decide(wide, analysis=1).verdict == "inconclusive"
    # A bound within the margin has no effect.
    assert decision.decide(wide, analysis=1, bound=0.001) == decision.decide(wide, analysis=1)


def test_the_last_analysis_spends_what_is_left() -> None:
    shares = [part for _, part in decision.ANALYSES]
    for number, share in enumerate(shares):
        assert decision.share(number) == share
        before = math.fsum(shares[:number])
        assert before + decision.share(number, last=True) == pytest.approx(math.fsum(shares))


def test_what_replicates_have_in_common_widens_the_interval_by_its_variance() -> None:
    # sd 1 and three values: the error is the root of 1/3 + 1
    found = decision.interval([1.0, 2.0, 3.0], alpha=0.05, common=1.0)
    assert found.high - found.mean == pytest.approx(4.3027 * math.sqrt(4 / 3), abs=1e-3)


def test_the_interval_within_processes_ignores_what_differs_between_them() -> None:
    """Two sets of processes, 1 % and 5 % slower, whose cycles vary by 0.1 % around that."""
    sets = [
        [
            sample
            for wobble in (-0.001, 0.0, 0.001)
            for order in itertools.islice(decision.orders(seed=1), decision.ABBA_BLOCKS)
            for sample in abba_block(
                {"A": 1.0, "a": 1.0, "B": math.exp(effect + wobble)}, "".join(order)
            )
        ]
        for effect in (0.01, 0.05)
    ]
    found = decision.within([[timings] for timings in sets], "cpu")
    assert found is not None
    assert (found.blocks, found.replicates) == (36, 2)
    # four degrees of freedom: 2.776; the mean of two means of three cycles with sd 0.001
    reach = 2.7764 * 0.001 * math.sqrt(1 / 3 + 1 / 3) / 2
    assert math.log1p(found.ratio) == pytest.approx(0.03)
    assert math.log1p(found.high) == pytest.approx(0.03 + reach, abs=1e-6)
    assert math.log1p(found.low) == pytest.approx(0.03 - reach, abs=1e-6)


def test_few_blocks_are_taken_one_by_one_and_one_is_too_few() -> None:
    blocks = [abba_block({"A": 1.0, "a": 1.0, "B": math.exp(x)}) for x in (0.1, 0.2, 0.3)]
    found = decision.within([blocks], "cpu")
    assert found is not None
    assert found.blocks == 3
    assert math.log1p(found.ratio) == pytest.approx(0.2)
    assert math.log1p(found.high) == pytest.approx(0.2 + 4.3027 * 0.1 / math.sqrt(3), abs=1e-4)
    assert decision.within([blocks[:1]], "cpu") is None
    assert decision.within([], "cpu") is None
