"""Quantiles and intervals without scipy: Student's t, the normal, and Clopper-Pearson.

All are based on the regularised incomplete beta function, computed by its continued fraction
(Numerical Recipes 6.4; DLMF 8.17.22), and on bisection. They are accurate to about 1e-9; slow, but
fast enough for a few calls per comparison.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist

_TINY = 1e-300


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a, b > 0 and x in 0 to 1."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):  # where the fraction converges quickly
        return math.exp(log_front) * _fraction(x, a, b) / a
    return 1 - math.exp(log_front) * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    result = d
    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + term * d
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = 1 + term / c
            c = c if abs(c) > _TINY else _TINY
            result *= c * d
        if abs(c * d - 1) < 1e-13:
            break
    return result


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def t_two_sided(t: float, df: float) -> float:
    """Return the probability that Student's t with ``df`` degrees of freedom exceeds ``t`` in size."""
    return beta_cdf(df / (df + t * t), df / 2, 0.5)


@functools.cache
def t_quantile(alpha: float, df: float) -> float:
    """Return the t that is exceeded in size with probability ``alpha`` (both tails); df > 0."""
    return _root(lambda t: alpha - t_two_sided(t, df), 0.0, 1e6)


def normal_quantile(p: float) -> float:
    """Return the z below which a standard normal lies with probability ``p``."""
    return NormalDist().inv_cdf(p)


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a rate: ``hits`` in ``trials``.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404.
    """
    tail = (1 - confidence) / 2
    low = (
        0.0 if hits == 0 else _root(lambda p: beta_cdf(p, hits, trials - hits + 1) - tail, 0.0, 1.0)
    )
    high = (
        1.0
        if hits == trials
        else _root(lambda p: beta_cdf(p, hits + 1, trials - hits) - (1 - tail), 0.0, 1.0)
    )
    return low, high
