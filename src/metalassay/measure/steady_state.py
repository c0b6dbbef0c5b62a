"""Decide from the times of its steps when a warm-up may end. Pure functions, without torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

WINDOW = 5
WITHIN = 0.05
MOST_STEPS = 200
PAUSE = 0.2
"""Seconds of idleness after which caches, clocks and a GPU's wired memory must be warmed up again.

On an M4 Pro a step after 1.2 s of idleness took 5 times as long (llama.cpp pull request 10119).
"""


def steady(seconds: Sequence[float], window: int = WINDOW, within: float = WITHIN) -> bool:
    """Whether the medians of the last two windows of steps agree.

    They may differ by ``within``, or by twice the median deviation within the windows if that is
    more: a busy machine never becomes quiet, but a trend stands out from its noise. Steps that get
    slower are not steady either.
    """
    if len(seconds) < 2 * window:
        return False
    late, early = seconds[-window:], seconds[-2 * window : -window]
    middle_late, middle_early = statistics.median(late), statistics.median(early)
    noise = statistics.median(
        [abs(each - middle_late) for each in late] + [abs(each - middle_early) for each in early]
    )
    return abs(middle_late - middle_early) <= max(within * middle_early, 2 * noise)
