"""The interval of a proportion: Wilson's score interval, which also holds near 0 and 1 and for few trials.

Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953); compared with others in Newcombe 1998
(https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E).
"""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the interval, both 0 to 1, for independent trials, at least one of them.

    Raises ``ValueError`` for more successes than trials, for less than none, and without a trial.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    # By the lower end of the failures, so that without one it is exactly 1, as the lower end is 0 without a success.
    return _lower(successes, trials, z), 1 - _lower(trials - successes, trials, z)


def _lower(successes: int, trials: int, z: float) -> float:
    share, spread = successes / trials, z * z / trials
    half = math.sqrt(spread * share * (1 - share) + spread * spread / 4)
    return (share + spread / 2 - half) / (1 + spread)
