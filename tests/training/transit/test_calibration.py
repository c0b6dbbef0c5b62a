"""The calibration of probabilities: bins, expected calibration error and Brier score, by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from metalassay.training.transit import calibration

Floats = npt.NDArray[np.float32]


def logit(*probabilities: float) -> Floats:
    p = np.array(probabilities)
    return labels(*np.log(p / (1 - p)))


def labels(*values: float) -> Floats:
    return np.array(values, np.float32)


def test_the_figures_of_four_curves() -> None:
    found = calibration.measure(logit(0.1, 0.12, 0.9, 0.91), labels(0, 1, 1, 1))
    assert [each.count for each in found.bins] == [2, 2]
    low, high = found.bins
    assert [low.predicted, high.predicted] == pytest.approx([0.11, 0.905])
    assert [low.observed, high.observed] == [0.5, 1.0]
    assert found.error == pytest.approx((2 * 0.39 + 2 * 0.095) / 4)
    assert found.brier == pytest.approx((0.01 + 0.88**2 + 0.01 + 0.09**2) / 4, rel=1e-5)


def test_certain_and_right_is_perfect_and_extreme_logits_overflow_nowhere() -> None:
    found = calibration.measure(labels(-1e4, 1e4), labels(0, 1))
    assert (found.error, found.brier) == (0, 0)
    assert [each.count for each in found.bins] == [1, 1]
    assert found.bins[-1].high == 1


def test_calibrated_predictions_have_a_small_error() -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0.01, 0.99, 50_000)
    truth = (random.uniform(size=len(p)) < p).astype(np.float32)
    assert calibration.measure(logit(*p), truth).error < 0.01
    assert calibration.measure(3 * logit(*p), truth).error > 0.08


def test_a_logit_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        calibration.measure(labels(float("nan"), 1), labels(0, 1))


def test_planets_are_counted_and_not_their_share_rounded() -> None:
    (found,) = calibration.measure(logit(0.5, 0.5, 0.5), labels(1, 0, 1)).bins
    assert (found.count, found.planets) == (3, 2)
    assert found.observed == pytest.approx(2 / 3)
