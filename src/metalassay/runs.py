"""Finds and reads result files: verdict files and benchmark runs, from any machine.

A file that cannot be used costs one warning that names it; the rest is still read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError
from metalassay.fields import FieldError, printable
from metalassay.records import (
    BugResult,
    BugTest,
    LargestBatch,
    Measurement,
    VersionSet,
    parse,
)

__all__ = ["BugResult", "BugTest", "LargestBatch", "Loaded", "Measurement", "VersionSet", "load"]

_LARGEST_FILE = 64 * 2**20  # bytes; a run of all benchmarks with its raw times has well under 10 MB


@dataclass(frozen=True)
class Loaded:
    """All that could be read, in the order of the file names, and one warning for each other file."""

    compat: tuple[VersionSet, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    batches: tuple[LargestBatch, ...] = ()


def load(paths: Iterable[str | Path]) -> Loaded:
    """Read result files; a folder stands for all ``*.json`` in and below it.

    Raises ``UserError`` for a path that is not there. What a file holds never raises: a file that
    is no result, or a bad one, becomes a warning.
    """
    compat: list[VersionSet] = []
    measurements: list[Measurement] = []
    batches: list[LargestBatch] = []
    warnings: list[str] = []
    read: dict[str, str] = {}  # hash of the content -> the first file that had it
    for path in _files(paths, warnings):
        shown = _shown(path)
        try:
            content = _content(path)
            first = read.setdefault(hashlib.sha256(content).hexdigest(), shown)
            if first != shown:
                raise FieldError(f"the same content as {first}; counted once")
            result = parse(content, shown)
        except FieldError as error:
            warnings.append(_one_line(f"{shown}: {error}"))
            continue
        if isinstance(result, VersionSet):
            compat.append(result)
            if result.distrusted:
                warnings.append(_one_line(f"{shown}: contradicts itself: {result.distrusted}"))
        elif isinstance(result, LargestBatch):
            batches.append(result)
        else:
            measurements.extend(result)
    return Loaded(tuple(compat), tuple(measurements), tuple(warnings), tuple(batches))


def _files(paths: Iterable[str | Path], warnings: list[str]) -> Iterator[Path]:
    """Yield each file once, folders in the order of names; a loop of links is walked once."""
    seen: set[str] = set()

    def new(path: Path) -> bool:
        real = os.path.realpath(path)
        known = real in seen
        seen.add(real)
        return not known

    def cannot_list(error: OSError) -> None:
        warnings.append(_one_line(f"{_shown(Path(error.filename))}: {error.strerror}"))

    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot read {_shown(path)}: {reason}", "name a result file or a folder of them"
            ) from None
        if not is_folder:
            if new(path):
                yield path
            continue
        for folder, folders, names in os.walk(path, onerror=cannot_list, followlinks=True):
            folders[:] = [name for name in sorted(folders) if new(Path(folder, name))]
            for name in sorted(names):
                # Hidden files are no results: macOS leaves a "._x.json" beside x.json on some disks.
                if name.endswith(".json") and name[0] != "." and new(Path(folder, name)):
                    yield Path(folder, name)


def _content(path: Path) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for ever
            raise FieldError("not a regular file")
        if about.st_size > _LARGEST_FILE:
            raise FieldError(f"too large for a result ({about.st_size / 2**20:.0f} MB)")
        return path.read_bytes()
    except OSError as error:
        raise FieldError(f"cannot be read: {error.strerror}") from None


def _shown(path: Path) -> str:
    """Return the name for people; one that is not UTF-8 would break the report that carries it."""
    return printable(os.fsencode(path).decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
