"""What makes the figures of a run doubtful, in one short line: for the card, which has no room for the notes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from metalassay.report.model import counted
from metalassay.results.measurement import Measurement

FEWEST_ROUNDS = 5
WIDEST = 0.5
"""How far the middle half of the rounds may spread, as a share of their median."""
_UNSTEADY = "unsteady"
# The marks of one benchmark; every other mark is on the run, so that its figures are not counted.
_OF_A_FIGURE = {"drifted": "drifted", "not steady after its warm-up": _UNSTEADY}


def line(shown: Iterable[Measurement]) -> str:
    """Return a line such as "Doubtful: busy; 2 figures drifted", empty where nothing is doubtful.

    An emulated run has no figure that could be doubtful, and is left out.
    """
    of_the_run: dict[str, None] = {}
    figures: Counter[str] = Counter()
    for one in shown:
        if one.emulated:
            continue
        kinds = [flag.partition(": ")[0] for flag in one.flags]
        of_the_run |= dict.fromkeys(kind for kind in kinds if kind not in _OF_A_FIGURE)
        own = {_OF_A_FIGURE[kind] for kind in kinds if kind in _OF_A_FIGURE}
        if spread(one.seconds) > WIDEST:
            own.add(_UNSTEADY)
        figures.update(own)
    parts = [*of_the_run]
    parts += [f"{counted(figures[kind], 'figure')} {kind}" for kind in sorted(figures)]
    return f"Doubtful: {'; '.join(parts)}" if parts else ""


def spread(seconds: Sequence[float]) -> float:
    """Return the middle half of the rounds as a share of their median; 0 for too few rounds to say."""
    if len(seconds) < FEWEST_ROUNDS:
        return 0.0
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return (upper - lower) / median
