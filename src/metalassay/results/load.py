"""Reads result files, from any machine: verdict files, benchmark runs, searches for the largest batch.

A file that cannot be used costs one warning that names it; the others are still read. Memory grows
with the number of conditions and not with the number of files, see ``latest``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.fields import FieldError, one_line
from metalassay.machine.hardware import Hardware
from metalassay.results import find_files
from metalassay.results.latest import FileGroup, LatestResults
from metalassay.results.parse import (
    Asked,
    Evidence,
    LargestBatch,
    Measurement,
    SmokeSet,
    SuiteFile,
    Unfinished,
    VersionSet,
    parse,
)
from metalassay.results.suite_file import SuiteTime
from metalassay.results.suites import SuiteResults


@dataclass(frozen=True)
class Read:
    """The content of one file. ``warning`` is set when it was left out or contradicts itself."""

    file: str
    compat: VersionSet | None = None
    measurements: tuple[Measurement, ...] = ()
    warning: str | None = None
    batch: LargestBatch | None = None
    unfinished: Unfinished | None = None
    experiment: Evidence | None = None
    suite: tuple[SuiteTime, ...] = ()
    asked: Asked | None = None


@dataclass(frozen=True)
class Loaded:
    """The latest results of all files that could be read, and one warning for each other file.

    ``compat`` and ``measurements`` are in the order of the file names, without what a newer file
    under the same conditions supersedes: ``older`` counts those measurements by machine
    (``hardware.identity``), ``older_sets`` those verdict files. ``measured`` counts every
    measurement, ``groups`` describe the files, ``batches`` are the newest searches for the largest
    batch, ``unfinished`` the marks of runs that did not finish, and ``experiments`` what was measured of claims.
    ``suites`` are the times of other projects' benchmarks, the newest first, and ``older_suites`` counts those of
    them that were dropped. ``asked`` are the answers about the user's own models.
    """

    compat: tuple[VersionSet, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    older: tuple[tuple[Hardware, int], ...] = ()
    older_sets: int = 0
    measured: int = 0
    groups: tuple[FileGroup, ...] = ()
    batches: tuple[LargestBatch, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    experiments: tuple[Evidence, ...] = ()
    suites: tuple[SuiteTime, ...] = ()
    older_suites: int = 0
    asked: tuple[Asked, ...] = ()


def load(paths: Iterable[str | Path], see: Callable[[Read], None] | None = None) -> Loaded:
    """Read result files; a folder stands for all files in and below it that end as in
    ``source.SUFFIXES``.

    ``see`` is called with the content of each file as it is read. Raises ``UserError`` for a path
    that does not exist. The content of a file never raises: a bad result, or a file that is not a
    result, becomes a warning.
    """
    latest, suites = LatestResults(), SuiteResults()
    warnings: list[str] = []
    experiments: list[Evidence] = []
    asked: list[Asked] = []
    for content in read(paths):
        if see is not None:
            see(content)
        if content.warning is not None:
            warnings.append(content.warning)
        if content.compat is not None:
            latest.add_set(content.compat)
        if content.batch is not None:
            latest.add_batch(content.batch)
        if content.unfinished is not None:
            latest.add_unfinished(content.unfinished)
        if content.experiment is not None:
            experiments.append(content.experiment)
        if content.asked is not None:
            asked.append(content.asked)
        latest.add_measurements(content.measurements)
        suites.add(content.suite)
    measurements = latest.measurements()  # completes the series, and so comes before the counts
    return Loaded(
        latest.sets(),
        measurements,
        tuple(warnings),
        tuple(latest.older.items()),
        latest.older_sets,
        latest.measured,
        latest.groups(),
        latest.batches(),
        latest.unfinished(),
        tuple(experiments),
        suites.times(),
        suites.older,
        tuple(asked),
    )


def read(paths: Iterable[str | Path]) -> Iterator[Read]:
    """Yield the content of each file, one file at a time; see ``load``."""
    known: dict[bytes, str] = {}  # digest of the content -> the first file with it
    for source in find_files.find(paths):
        try:
            content = source.read()
            digest = hashlib.blake2b(content, digest_size=16).digest()
            first = known.get(digest)
            if first is not None:
                raise FieldError(f"the same content as {first}; counted once")
            result = parse(content, source.shown)
            # Files without results, such as a tokenizer, may well be equal, and so may two marks.
            if result != () and not isinstance(result, Unfinished):
                known[digest] = source.shown
        except FieldError as error:
            yield Read(source.shown, warning=one_line(f"{source.shown}: {error}"))
            continue
        if isinstance(result, LargestBatch):
            yield Read(source.shown, batch=result)
            continue
        if isinstance(result, Unfinished):
            yield Read(source.shown, unfinished=result)
            continue
        if isinstance(result, Evidence):
            yield Read(source.shown, experiment=result)
            continue
        if isinstance(result, Asked):
            yield Read(source.shown, asked=result)
            continue
        if isinstance(result, SuiteFile):
            yield Read(source.shown, suite=result.times)
            continue
        if isinstance(result, SmokeSet):
            yield Read(source.shown)  # it has a table of its own, in docs/compatibility.md
            continue
        if not isinstance(result, VersionSet):
            yield Read(source.shown, measurements=result)
            continue
        doubt = result.distrusted
        warning = f"{source.shown}: contradicts itself: {doubt}" if doubt else None
        yield Read(source.shown, result, warning=one_line(warning) if warning else None)
