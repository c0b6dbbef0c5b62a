"""When a warm-up may end, told from the times of its steps; pure, and used on both sides."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

WINDOW = 5
WITHIN = 0.05
MOST_STEPS = 200
PAUSE = 0.2
"""Seconds of rest after which caches, clocks and a GPU's wired memory have to be woken again.

On an M4 Pro a step after 1.2 s of rest took 5 times as long (llama.cpp pull request 10119).
"""


def steady(seconds: Sequence[float], window: int = WINDOW, within: float = WITHIN) -> bool:
    """Whether the last steps took as long as those before: medians of two windows in a row.

    They may differ by ``within``, or by twice the median deviation inside the windows where the
    machine is noisier than that: a busy machine never gets quiet, but a trend stands out of its noise.
    A step that gets slower is not steady either.
    """
    if len(seconds) < 2 * window:
        return False
    late, early = seconds[-window:], seconds[-2 * window : -window]
    middle_late, middle_early = statistics.median(late), statistics.median(early)
    noise = statistics.median(
        [abs(each - middle_late) for each in late] + [abs(each - middle_early) for each in early]
    )
    return abs(middle_late - middle_early) <= max(within * middle_early, 2 * noise)


def drift(seconds: Sequence[float]) -> float:
    """Return how much longer the last third took than the first third, by medians; 0.1 is 10 %."""
    third = len(seconds) // 3
    if not third:
        return 0.0
    return statistics.median(seconds[-third:]) / statistics.median(seconds[:third]) - 1
