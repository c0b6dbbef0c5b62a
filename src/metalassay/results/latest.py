"""Keeps the latest results of many files: the newest under each condition, and counts of the rest.

A fleet leaves tens of thousands of files, most of them older runs under conditions that were run
again. A superseded result is counted and dropped while reading, so that memory grows with the number
of conditions and not with the number of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from metalassay.machine.hardware import Hardware, identity
from metalassay.results.max_batch_file import LargestBatch
from metalassay.results.measurement import Measurement, Pool, conditions
from metalassay.results.unfinished import Unfinished
from metalassay.results.verdict_file import VersionSet, run_key

PACKAGES = ("python", "torch", "accelerate", "transformers")


MEASUREMENTS, SETS, NOT_INSTALLED, SEARCHES = KINDS = (
    "measurement",
    "version set",
    "set that could not be installed",
    "search for the largest batch",
)


@dataclass(frozen=True)
class FileGroup:
    """Files of one of ``KINDS``, from one machine, with the same versions and settings.

    ``file`` is the newest of them. ``versions`` are those of ``PACKAGES``, None where a file does
    not name one. Verdict files have no settings. None stands for what is not known.
    """

    kind: str
    machine: Hardware
    versions: tuple[str | None, ...]
    device: str
    power_mode: str | None
    thermal_pressure: str | None
    threads: int | None
    malloc: str | None
    file: str
    files: int
    measurements: int
    first: datetime
    last: datetime


class LatestResults:
    """The latest of the results read so far.

    ``measured`` counts all measurements, superseded ones included. ``older`` counts the superseded
    ones by machine (``hardware.identity``); a series counts once.
    """

    def __init__(self) -> None:
        self.measured = 0
        self.older: Counter[Hardware] = Counter()
        self.older_sets = 0
        self._measurements: dict[object, Measurement] = {}
        self._series = Pool()
        self._sets: dict[object, VersionSet] = {}
        self._groups: dict[object, FileGroup] = {}
        self._batches: dict[object, LargestBatch] = {}
        self._unfinished: dict[object, Unfinished] = {}

    def add_set(self, one: VersionSet) -> None:
        """Take in a verdict file."""
        kind = NOT_INSTALLED if one.not_installable else SETS
        no_settings = ("", None, None, None, None)
        self._group(kind, one.hardware, one.versions.get, no_settings, one.file, one.started)
        key = run_key(one)
        known = self._sets.get(key)
        if known is not None:
            self.older_sets += 1
            if (known.started, known.file) > (one.started, one.file):
                return
            del self._sets[key]  # the newer one takes its own place in the order of reading
        self._sets[key] = one

    def add_measurements(self, measurements: Iterable[Measurement]) -> None:
        """Take in the measurements of one file."""
        of_file = tuple(measurements)
        self.measured += len(of_file)
        # The measurements of one file share machine and time, and mostly the settings.
        for settings, number in Counter(map(_settings, of_file)).items():
            first = of_file[0]
            self._group(
                MEASUREMENTS,
                first.machine,
                first.versions.get,
                settings,
                first.file,
                first.when,
                number,
            )
        for one in of_file:
            if one.series is None:
                self._keep(one)
            else:
                self._series.add(one)

    def _keep(self, one: Measurement) -> None:
        """Keep a measurement unless a newer one under the same conditions is known."""
        key = conditions(one)
        known = self._measurements.get(key)
        if known is not None:
            self.older[identity(one.machine)] += 1
            if (known.when, known.file) > (one.when, one.file):
                return
            del self._measurements[key]
        self._measurements[key] = one

    def add_batch(self, one: LargestBatch) -> None:
        """Take in a search for the largest batch."""
        device = _device(one)
        settings = (device, None, None, one.threads, one.malloc)
        self._group(SEARCHES, one.machine, one.versions.get, settings, one.file, one.when)
        key = (identity(one.machine), one.workload, one.mode, one.dtype, device)
        known = self._batches.get(key)
        if known is None or (known.when, known.file) < (one.when, one.file):
            self._batches[key] = one

    def add_unfinished(self, one: Unfinished) -> None:
        """Take in the mark of a run that did not finish."""
        key = (one.id, one.file)  # the verdict file beside it has the same name
        known = self._unfinished.get(key)
        if known is None or known.started < one.started:
            self._unfinished[key] = one

    def _group(
        self,
        kind: str,
        machine: Hardware,
        version: Callable[[str], str | None],
        settings: tuple[str, str | None, str | None, int | None, str | None],
        file: str,
        when: datetime,
        measurements: int = 0,
    ) -> None:
        versions = tuple(version(name) for name in PACKAGES)
        key = (kind, machine, versions, settings)
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = FileGroup(
                kind, machine, versions, *settings, file, 1, measurements, when, when
            )
            return
        self._groups[key] = replace(
            group,
            file=file if when >= group.last else group.file,
            files=group.files + 1,
            measurements=group.measurements + measurements,
            first=min(group.first, when),
            last=max(group.last, when),
        )

    def sets(self) -> tuple[VersionSet, ...]:
        """Return the newest whole run, and the newest partial one, of each set, versions and machine.

        They are in the order of reading.
        """
        return tuple(self._sets.values())

    def measurements(self) -> tuple[Measurement, ...]:
        """Return the newest measurement under each condition; a series is one measurement.

        Call it once, after everything has been read: only then are the series complete.
        """
        for merged in self._series.results().values():
            self._keep(merged)
        self._series = Pool()
        return tuple(self._measurements.values())

    def batches(self) -> tuple[LargestBatch, ...]:
        """Return the newest search of each workload and machine."""
        return tuple(self._batches.values())

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Return the marks of runs that did not finish."""
        return tuple(self._unfinished.values())

    def groups(self) -> tuple[FileGroup, ...]:
        """Return the groups of files, verdict files first."""
        return tuple(sorted(self._groups.values(), key=lambda group: group.kind == MEASUREMENTS))


def _device(one: Measurement | LargestBatch) -> str:
    if isinstance(one, Measurement):
        return one.where
    return f"{one.device} (emulated)" if one.emulated else one.device


def _settings(one: Measurement) -> tuple[str, str | None, str | None, int | None, str | None]:
    """Return device, power mode, thermal pressure, threads and malloc; the last two matter on the CPU only."""
    on_cpu = one.device == "cpu"
    return (
        _device(one),
        one.power_mode,
        one.thermal_pressure,
        one.threads if on_cpu else None,
        one.malloc if on_cpu else None,
    )


def groups_of(
    sets: Iterable[VersionSet],
    measurements: Iterable[Measurement],
    batches: Iterable[LargestBatch] = (),
) -> tuple[FileGroup, ...]:
    """Return the file groups of records that were read before."""
    results = LatestResults()
    for one in sets:
        results.add_set(one)
    for batch in batches:
        results.add_batch(batch)
    files: dict[object, list[Measurement]] = {}
    for measurement in measurements:
        # Two files may have the same name, as from two folders.
        versions = tuple(sorted(measurement.versions.items()))
        key = (measurement.file, measurement.machine, measurement.when, versions)
        files.setdefault(key, []).append(measurement)
    for of_file in files.values():
        results.add_measurements(of_file)
    return results.groups()
