"""When a warm-up ends."""

from __future__ import annotations

import pytest

from metalassay.measure.steady_state import steady


def test_ten_equal_steps_are_steady_and_nine_are_not() -> None:
    assert steady([1.0] * 10)
    assert not steady([1.0] * 9)


def test_slow_first_steps_are_not_steady() -> None:
    times = [7.0, 3.0, 2.8, 1.6, 1.4, 1.2, *[1.0] * 20]
    ends = next(n for n in range(len(times)) if steady(times[:n]))
    # the median of the early window must not be one of the slow steps
    assert times[ends - 10 + 2] == 1.0


@pytest.mark.parametrize("factor", [0.94, 1.06])
def test_a_trend_is_not_steady_up_or_down(factor: float) -> None:
    assert not steady([1.0] * 5 + [factor] * 5)


def test_one_slow_step_is_noise() -> None:
    assert steady([1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 30.0])


def test_a_difference_within_the_noise_is_steady() -> None:
    assert steady([1.0, 1.2, 0.8, 1.1, 0.9, 1.1, 1.3, 0.9, 1.2, 1.0])
