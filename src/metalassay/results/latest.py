"""Keeps of many files what a report shows: the newest of each condition, and counts of the rest.

A fleet leaves tens of thousands of files, most of them older runs under conditions that were run
again. What a newer one supersedes is counted and let go while reading, so that memory follows the
number of conditions and not that of files.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from metalassay.machine.hardware import Hardware, identity
from metalassay.results.measurement import Measurement, conditions, series_key
from metalassay.results.parse import LargestBatch, VersionSet, same_set

PACKAGES = ("python", "torch", "accelerate", "transformers")


MEASUREMENTS, SETS, NOT_INSTALLED, SEARCHES = KINDS = (
    "measurement",
    "version set",
    "set that could not be installed",
    "search for the largest batch",
)


@dataclass(frozen=True)
class FileGroup:
    """Files of one of ``KINDS``, of one machine, with the same versions and settings.

    ``file`` is the newest of them. ``versions`` are those of ``PACKAGES``, None where a file names
    none. Of verdict files there are no settings, and None is what is not known.
    """

    kind: str
    machine: Hardware
    versions: tuple[str | None, ...]
    device: str
    power_mode: str | None
    threads: int | None
    malloc: str | None
    file: str
    files: int
    measurements: int
    first: datetime
    last: datetime


@dataclass
class _Series:
    """The processes of one `--processes N` so far: the newest in full, of each its median."""

    newest: Measurement
    medians: list[float] = field(default_factory=list)
    flags: dict[str, None] = field(default_factory=dict)

    def add(self, one: Measurement) -> None:
        if self.medians and one.when > self.newest.when:
            self.newest = one
        self.medians.append(statistics.median(one.seconds))
        self.flags.update(dict.fromkeys(one.flags))

    def pooled(self) -> Measurement:
        if len(self.medians) == 1:
            return self.newest
        return replace(
            self.newest,
            seconds=tuple(self.medians),
            flags=tuple(self.flags),
            processes=len(self.medians),
        )


class Gathering:
    """What has been read so far. ``measured`` counts measurements, superseded ones included."""

    def __init__(self) -> None:
        self.measured = 0
        self.older: Counter[Hardware] = Counter()  # by identity; a series counts once
        self.older_sets = 0
        self._alone: dict[object, Measurement] = {}
        self._series: dict[object, _Series] = {}
        self._sets: dict[object, VersionSet] = {}
        self._groups: dict[object, FileGroup] = {}
        self._batches: dict[object, LargestBatch] = {}

    def add_set(self, one: VersionSet) -> None:
        """Take in a verdict file."""
        kind = NOT_INSTALLED if one.not_installable else SETS
        nothing = ("", None, None, None)
        self._group(kind, one.hardware, one.versions.get, nothing, one.file, one.started)
        key = same_set(one)
        kept = self._sets.get(key)
        if kept is not None:
            self.older_sets += 1
            if (kept.started, kept.file) > (one.started, one.file):
                return
            del self._sets[key]  # the newer one takes its own place in the order of reading
        self._sets[key] = one

    def add_measurements(self, found: Iterable[Measurement]) -> None:
        """Take in the measurements of one file."""
        everything = tuple(found)
        self.measured += len(everything)
        # Of one file all is of one machine and time, and mostly under one setting.
        settings = Counter(map(_settings, everything))
        for setting, number in settings.items():
            first = everything[0]
            self._group(
                MEASUREMENTS,
                first.machine,
                first.versions.get,
                setting,
                first.file,
                first.when,
                number,
            )
        for one in everything:
            if one.series is None:
                self._keep(one)
                continue
            key = series_key(one)
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(one)
            series.add(one)

    def _keep(self, one: Measurement) -> None:
        key = conditions(one)
        kept = self._alone.get(key)
        if kept is not None:
            self.older[identity(one.machine)] += 1
            if (kept.when, kept.file) > (one.when, one.file):
                return
            del self._alone[key]
        self._alone[key] = one

    def add_batch(self, one: LargestBatch) -> None:
        """Take in a search for the largest batch; of several of a kind, the newest stays."""
        device = f"{one.device} (emulated)" if one.emulated else one.device
        setting = (device, None, one.threads, one.malloc)
        self._group(SEARCHES, one.machine, one.versions.get, setting, one.file, one.when)
        key = (identity(one.machine), one.workload, one.mode, one.dtype, device)
        kept = self._batches.get(key)
        if kept is None or (kept.when, kept.file) < (one.when, one.file):
            self._batches[key] = one

    def _group(
        self,
        kind: str,
        machine: Hardware,
        version: Callable[[str], str | None],
        setting: tuple[str, str | None, int | None, str | None],
        file: str,
        when: datetime,
        found: int = 0,
    ) -> None:
        versions = tuple(version(name) for name in PACKAGES)
        key = (kind, machine, versions, setting)
        old = self._groups.get(key)
        if old is None:
            self._groups[key] = FileGroup(
                kind, machine, versions, *setting, file, 1, found, when, when
            )
            return
        self._groups[key] = replace(
            old,
            file=file if when >= old.last else old.file,
            files=old.files + 1,
            measurements=old.measurements + found,
            first=min(old.first, when),
            last=max(old.last, when),
        )

    def sets(self) -> tuple[VersionSet, ...]:
        """Return the newest file of each set, versions and machine, in the order of reading."""
        return tuple(self._sets.values())

    def measurements(self) -> tuple[Measurement, ...]:
        """Return the newest measurement of each condition; a series is one measurement.

        Call it once, when everything was read: only then is a series complete.
        """
        for series in self._series.values():
            self._keep(series.pooled())
        self._series.clear()
        return tuple(self._alone.values())

    def batches(self) -> tuple[LargestBatch, ...]:
        """Return the newest search of each workload and machine."""
        return tuple(self._batches.values())

    def groups(self) -> tuple[FileGroup, ...]:
        """Return what the files were, verdict files first."""
        return tuple(sorted(self._groups.values(), key=lambda group: group.kind == MEASUREMENTS))


def _settings(one: Measurement) -> tuple[str, str | None, int | None, str | None]:
    """Return device, power mode, threads and malloc; the last two count on the CPU alone."""
    on_cpu = one.device == "cpu"
    return (
        f"{one.device} (emulated)" if one.emulated else one.device,
        one.power_mode,
        one.threads if on_cpu else None,
        one.malloc if on_cpu else None,
    )


def groups_of(
    sets: Iterable[VersionSet],
    measured: Iterable[Measurement],
    batches: Iterable[LargestBatch] = (),
) -> tuple[FileGroup, ...]:
    """Return the groups of records that are at hand."""
    gathering = Gathering()
    for each in sets:
        gathering.add_set(each)
    for batch in batches:
        gathering.add_batch(batch)
    files: dict[object, list[Measurement]] = {}
    for one in measured:
        # Two of one name are two files, as from two folders.
        key = (one.file, one.machine, one.when, tuple(sorted(one.versions.items())))
        files.setdefault(key, []).append(one)
    for found in files.values():
        gathering.add_measurements(found)
    return gathering.groups()
