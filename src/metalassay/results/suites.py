"""Keeps the latest times of other projects' benchmarks, and pools the processes of one run.

Like ``latest`` it drops what newer files supersede while reading, so that memory grows with the number of
benchmarks and machines and not with the number of files.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from metalassay.machine.hardware import identity
from metalassay.results.suite_file import SuiteTime, quartiles

MOST_RUNS = 5
"""Newest runs of a benchmark on one machine that are kept, to choose from for a comparison."""


@dataclass
class _Series:
    """The processes of one run so far: the newest in full, and the median of each."""

    newest: SuiteTime
    medians: list[float] = field(default_factory=list)
    run_flags: dict[str, None] = field(default_factory=dict)
    flags: dict[str, None] = field(default_factory=dict)

    def add(self, one: SuiteTime) -> None:
        if one.run.when > self.newest.run.when:
            self.newest = one
        self.medians.append(one.median)
        self.run_flags.update(dict.fromkeys(one.run.flags))
        self.flags.update(dict.fromkeys(one.flags))

    def merged(self) -> SuiteTime:
        if len(self.medians) == 1:
            return self.newest
        seconds = tuple(self.medians)
        low, high = quartiles(seconds)
        return replace(
            self.newest,
            run=replace(self.newest.run, flags=tuple(self.run_flags)),
            median=statistics.median(seconds),
            low=low,
            high=high,
            rounds=len(seconds),
            each=seconds,
            flags=tuple(self.flags),
        )


class SuiteResults:
    """The latest times read so far; ``older`` counts those that were dropped."""

    def __init__(self) -> None:
        self.older = 0
        self._runs: dict[object, list[SuiteTime]] = {}
        self._series: dict[object, _Series] = {}

    def add(self, times: Iterable[SuiteTime]) -> None:
        """Take in the times of one file."""
        for one in times:
            if one.run.series is None:
                self._keep(one)
                continue
            run = one.run
            key = (run.series, run.machine, run.project, run.commit, one.name, one.identity)
            self._series.setdefault(key, _Series(one)).add(one)

    def _keep(self, one: SuiteTime) -> None:
        run = one.run
        key = (run.project, one.name, run.assayed, run.info, identity(run.machine))
        runs = self._runs.setdefault(key, [])
        runs.append(one)
        if len(runs) > MOST_RUNS:
            runs.remove(min(runs, key=lambda each: (each.run.when, each.run.file)))
            self.older += 1

    def times(self) -> tuple[SuiteTime, ...]:
        """Return the times, the newest runs first; call it once, after everything has been read."""
        for series in self._series.values():
            self._keep(series.merged())
        self._series = {}
        kept = [one for runs in self._runs.values() for one in runs]
        return tuple(
            sorted(kept, key=lambda each: (each.run.when, each.run.file, each.name), reverse=True)
        )
