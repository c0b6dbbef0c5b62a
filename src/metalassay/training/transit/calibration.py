"""How well probabilities fit what happens: reliability by bins, the expected calibration error and the Brier score.

Naeini et al. 2015 (https://doi.org/10.1609/aaai.v29i1.9602) and Guo et al. 2017 (arXiv:1706.04599), with bins
of equal width; Brier 1950.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metalassay.results.calibration_file import Bin, Calibration

BINS = 15


def measure(logits: npt.NDArray[np.float32], label: npt.NDArray[np.float32]) -> Calibration:
    """Return the calibration of logits, (N,), of which ``label`` says whether each is a planet, 1 or 0.

    Bins without a light curve are left out. Raises ``ValueError`` for a logit that is not a number.
    """
    if np.isnan(logits).any():
        raise ValueError("a logit that is not a number has no probability")
    # Of both signs without overflow.
    probability = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    planet = label > 0.5
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = place == number
        count = int(inside.sum())
        if count:
            planets, predicted = int(planet[inside].sum()), float(probability[inside].mean())
            bins.append(Bin(number / BINS, (number + 1) / BINS, count, planets, predicted))
    return Calibration(tuple(bins), float(((probability - planet) ** 2).mean()))
