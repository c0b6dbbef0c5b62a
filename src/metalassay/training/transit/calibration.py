"""How well probabilities fit what happens: reliability by bins, the expected calibration error and the Brier score.

Naeini et al. 2015 (https://doi.org/10.1609/aaai.v29i1.9602) and Guo et al. 2017 (arXiv:1706.04599), with bins
of equal width; Brier 1950.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15


@dataclass(frozen=True)
class Bin:
    """The light curves whose probability lies between ``low`` and ``high``: their mean, and how many were planets."""

    low: float
    high: float
    count: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """``error`` is the expected calibration error and ``brier`` the Brier score, both 0 to 1; 0 is best."""

    bins: tuple[Bin, ...]
    error: float
    brier: float


def measure(logits: npt.NDArray[np.float32], label: npt.NDArray[np.float32]) -> Calibration:
    """Return the calibration of logits, (N,), of which ``label`` says whether each is a planet, 1 or 0.

    Bins without a light curve are left out.
    """
    # Of both signs without overflow.
    probability = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    truth = label.astype(np.float64)
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = place == number
        count = int(inside.sum())
        if count:
            predicted, observed = float(probability[inside].mean()), float(truth[inside].mean())
            bins.append(Bin(number / BINS, (number + 1) / BINS, count, predicted, observed))
    error = sum(each.count * abs(each.predicted - each.observed) for each in bins) / len(truth)
    return Calibration(tuple(bins), error, float(((probability - truth) ** 2).mean()))
