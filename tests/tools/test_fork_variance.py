"""The analysis of variance of forks, on constructed numbers."""

from __future__ import annotations

import math
import random
import statistics

import fork_variance
import pytest


def test_the_components_are_those_of_the_analysis_of_variance() -> None:
    # Within: variances 2 and 2. The means 0 and 4 have variance 8, of which 2 / 2 is from within.
    within, between, most = fork_variance.components([[-1.0, 1.0], [3.0, 5.0]])
    assert within == pytest.approx(math.sqrt(2))
    assert between == pytest.approx(math.sqrt(7))
    assert most > between


def test_servers_that_shift_nothing_have_no_component_but_a_bound() -> None:
    assert fork_variance.components([[-1.0, 1.0]] * 3)[1] == 0.0


def test_the_bound_covers_the_true_value_in_about_95_of_100_cases() -> None:
    chance = random.Random(3)
    covered = []
    for _ in range(400):
        shifts = [chance.gauss(0, 0.5) for _ in range(12)]
        groups = [[shift + chance.gauss(0, 1) for _ in range(4)] for shift in shifts]
        covered.append(fork_variance.components(groups)[2] >= 0.5)
    assert 0.9 <= statistics.fmean(covered) <= 0.99


def test_chi_squared_is_that_of_tables() -> None:
    assert fork_variance.chi_squared(0.05, 11) == pytest.approx(4.575, abs=0.02)


def test_the_summary_compares_both_ways_in_pairs() -> None:
    servers = [
        {"forked": [[0.03, 0.0], [0.05, 0.0]], "started": [[0.03 + x, 0.001]]}
        for x in (-0.001, 0.0, 0.001)
    ]
    first, second, *_ = fork_variance.summary(servers).splitlines()
    assert first.startswith("B over A: forked +4.08%, started +3.05%; difference +1.01% [")
    assert "between replicates of one server 1.41%, between servers 0.00%" in second
