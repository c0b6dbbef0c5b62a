"""A file that may hold results, wherever it is: its name to show, and how to read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metalassay.fields import FieldError, one_line, printable

SUFFIXES = (".json", ".partial", ".unfinished")
"""The files of a folder that are read: results, narrowed runs beside them, and marks of failed runs."""

LARGEST = 64 * 2**20  # bytes; a run of all benchmarks with its raw times has well below 10 MB


@dataclass(frozen=True)
class Source:
    """A file that may hold results. ``read`` raises ``FieldError`` when it cannot be read.

    ``shown`` is its name to print: a name that is not UTF-8 would break the report that shows it.
    ``path`` is where it is, None for what is no file on this machine.
    """

    shown: str
    read: Callable[[], bytes]
    path: Path | None = None


def check_size(size: int) -> None:
    """Raise ``FieldError`` for a file of more than ``LARGEST`` bytes."""
    if size > LARGEST:
        raise FieldError(f"too large for a result ({size / 2**20:.0f} MB)")


def shown(path: Path) -> str:
    """Return the path to print, on one line and in UTF-8."""
    return one_line(printable(os.fsencode(path).decode("utf-8", "replace")))
