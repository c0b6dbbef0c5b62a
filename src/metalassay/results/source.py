"""A file that may hold results, wherever it is: its name for people, and how to read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metalassay.fields import FieldError, printable

LARGEST = 64 * 2**20  # bytes; a run of all benchmarks with its raw times has well under 10 MB


@dataclass(frozen=True)
class Source:
    """A file that may hold results. ``read`` raises ``FieldError`` where it cannot be had.

    ``shown`` is its name for people: one that is not UTF-8 would break the report that carries it.
    """

    shown: str
    read: Callable[[], bytes]


def check_size(size: int) -> None:
    """Raise ``FieldError`` for a file of more bytes than a result has."""
    if size > LARGEST:
        raise FieldError(f"too large for a result ({size / 2**20:.0f} MB)")


def shown(path: Path) -> str:
    """Return a name for people, on one line and in UTF-8."""
    return " ".join(printable(os.fsencode(path).decode("utf-8", "replace")).split())
