"""How long each row took when it ran last, and what follows for many rows."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from metalassay.results import smoke_file, verdict_file

EVIDENCE = Path("docs", "evidence", "compat")
"""Where a checkout has the verdict files of the published table."""

FRESH = Path("docs", "evidence", "fresh")
"""Where it has the files of the rows that run the smoke test."""


def recorded(rows: Iterable[str], folders: Sequence[Path]) -> dict[str, float]:
    """Return the wall time in seconds of each row's last whole run, from the first folder that has it.

    A row that never ran, or could not be installed, is missing.
    """
    known = {}
    for row in rows:
        for folder in folders:
            seconds = _seconds(folder / f"{row}.json")
            if seconds > 0:
                known[row] = seconds
                break
    return known


def _seconds(path: Path) -> float:
    """Return the seconds in the file of a row, whichever it runs; 0 where there is none."""
    for load in (verdict_file.load, smoke_file.load):
        with contextlib.suppress(OSError, ValueError):
            return load(path).seconds
    return 0.0


def estimate(rows: Sequence[str], known: Mapping[str, float], jobs: int = 1) -> float | None:
    """Return the seconds that rows will take with ``jobs`` at a time; None if none of them is known.

    A row that was never timed counts as the mean of the others. Rows start in the order given.
    """
    times = [known[row] for row in rows if row in known]
    if not times:
        return 0.0 if not rows else None
    mean = sum(times) / len(times)
    ends = [0.0] * jobs
    for row in rows:
        heapq.heapreplace(ends, ends[0] + known.get(row, mean))
    return max(ends)


def shards(rows: Sequence[str], known: Mapping[str, float], number: int) -> list[list[str]]:
    """Distribute rows over ``number`` bins whose times are as equal as the longest row allows.

    The longest row goes first, each into the bin that has the least so far. Within a bin, rows keep
    their order.
    """
    times = [known[row] for row in rows if row in known]
    mean = sum(times) / len(times) if times else 1.0
    bins: list[tuple[float, int, list[str]]] = [(0.0, index, []) for index in range(number)]
    for row in sorted(rows, key=lambda row: (-known.get(row, mean), row)):
        least, index, inside = heapq.heappop(bins)
        heapq.heappush(bins, (least + known.get(row, mean), index, [*inside, row]))
    order = {row: place for place, row in enumerate(rows)}
    return [
        sorted(inside, key=order.__getitem__) for _, _, inside in sorted(bins, key=lambda b: b[1])
    ]
