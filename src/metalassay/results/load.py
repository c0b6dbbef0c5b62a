"""Reads result files: verdict files and benchmark runs, from any machine.

A file that cannot be used costs one warning that names it; the rest is still read. Memory follows the
number of conditions and not that of files, see ``gathering``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.fields import FieldError
from metalassay.machine.hardware import Hardware
from metalassay.results import find_files
from metalassay.results.latest import FileGroup, Gathering
from metalassay.results.parse import (
    BugResult,
    BugTest,
    LargestBatch,
    Measurement,
    VersionSet,
    parse,
)

__all__ = [
    "BugResult",
    "BugTest",
    "LargestBatch",
    "Loaded",
    "Measurement",
    "Read",
    "VersionSet",
    "load",
    "read",
]


@dataclass(frozen=True)
class Read:
    """What one file held. ``warning`` names it where it was left out or contradicts itself."""

    file: str
    compat: VersionSet | None = None
    measurements: tuple[Measurement, ...] = ()
    warning: str | None = None
    batch: LargestBatch | None = None


@dataclass(frozen=True)
class Loaded:
    """What is to be shown of all that could be read, and one warning for each other file.

    ``compat`` and ``measurements`` are in the order of the file names. What a newer file under the
    same conditions supersedes is not in them: ``older`` counts it for each machine (by
    ``hardware.identity``), ``older_sets`` for verdict files. ``measured`` counts every measurement,
    ``groups`` are the files, ``batches`` the newest searches for the largest batch.
    """

    compat: tuple[VersionSet, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    older: tuple[tuple[Hardware, int], ...] = ()
    older_sets: int = 0
    measured: int = 0
    groups: tuple[FileGroup, ...] = ()
    batches: tuple[LargestBatch, ...] = ()


def load(paths: Iterable[str | Path], see: Callable[[Read], None] | None = None) -> Loaded:
    """Read result files; a folder stands for all ``*.json`` in and below it.

    ``see`` gets what each file held while it is read. Raises ``UserError`` for a path that is not
    there. What a file holds never raises: a file that is no result, or a bad one, becomes a warning.
    """
    gathering = Gathering()
    warnings: list[str] = []
    for each in read(paths):
        if see is not None:
            see(each)
        if each.warning is not None:
            warnings.append(each.warning)
        if each.compat is not None:
            gathering.add_set(each.compat)
        if each.batch is not None:
            gathering.add_batch(each.batch)
        gathering.add_measurements(each.measurements)
    measurements = gathering.measurements()  # ends the series, and so comes before the counts
    return Loaded(
        gathering.sets(),
        measurements,
        tuple(warnings),
        tuple(gathering.older.items()),
        gathering.older_sets,
        gathering.measured,
        gathering.groups(),
        gathering.batches(),
    )


def read(paths: Iterable[str | Path]) -> Iterator[Read]:
    """Yield what each file holds, one file at a time; see ``load``."""
    known: dict[bytes, str] = {}  # digest of the content -> the first file that had it
    for source in find_files.find(paths):
        try:
            content = source.read()
            digest = hashlib.blake2b(content, digest_size=16).digest()
            first = known.get(digest)
            if first is not None:
                raise FieldError(f"the same content as {first}; counted once")
            result = parse(content, source.shown)
            if result != ():  # two runs have the same tokenizer; nothing in it is counted
                known[digest] = source.shown
        except FieldError as error:
            yield Read(source.shown, warning=_one_line(f"{source.shown}: {error}"))
            continue
        if isinstance(result, LargestBatch):
            yield Read(source.shown, batch=result)
            continue
        if not isinstance(result, VersionSet):
            yield Read(source.shown, measurements=result)
            continue
        doubt = result.distrusted
        warning = f"{source.shown}: contradicts itself: {doubt}" if doubt else None
        yield Read(source.shown, result, warning=_one_line(warning) if warning else None)


def _one_line(text: str) -> str:
    return " ".join(text.split())
