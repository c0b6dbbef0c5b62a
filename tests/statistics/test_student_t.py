"""Quantiles against published tables."""

from __future__ import annotations

import pytest

from metalassay.statistics import student_t


@pytest.mark.parametrize(
    ("alpha", "df", "t"),
    [  # Student's table, two-sided
        (0.05, 1, 12.706),
        (0.01, 5, 4.032),
        (0.01, 9, 3.250),
        (0.002, 9, 4.297),
        (0.05, 30, 2.042),
        (0.001, 120, 3.373),
    ],
)
def test_t_quantiles_match_the_published_table(alpha: float, df: int, t: float) -> None:
    assert student_t.t_quantile(alpha, df) == pytest.approx(t, abs=6e-4)
    assert student_t.t_two_sided(t, df) == pytest.approx(alpha, rel=2e-3)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),  # 1 - 0.025 ** (1 / 10)
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (10, 1000, 0.0048, 0.0183),
    ],
)
def test_clopper_pearson_intervals_match_published_values(
    hits: int, trials: int, low: float, high: float
) -> None:
    assert student_t.clopper_pearson(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_the_beta_distribution_is_symmetric_for_equal_parameters() -> None:
    assert student_t.beta_cdf(0.5, 3.0, 3.0) == pytest.approx(0.5)
    assert student_t.beta_cdf(0.2, 2.0, 5.0) == pytest.approx(1 - student_t.beta_cdf(0.8, 5.0, 2.0))
