"""Which sets of versions the matrix executed, and whether an installed set is one of them.

``executed.json`` is made from the verdict files by ``tools/executed_sets.py``. It has the sets on which
the whole suite ran (``full``) or all but its slow tests (``quick``), and every outcome was as the data
about bugs says. Rows that tested a few bugs only say nothing about a set as a whole, and are left out.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

FULL, QUICK, SMOKE = "full", "quick", "smoke"

EXACT = ("accelerate", "transformers", "trl", "peft", "datasets")
"""Packages whose every release counts as another version."""
SERIES = {"torch": 2, "huggingface-hub": 2, "tokenizers": 2, "python": 2, "numpy": 1}
"""Packages of which so many leading numbers of the version count: torch 2.8.1 counts as 2.8."""
DECISIVE = (*EXACT, *SERIES)
"""The packages whose versions make a set."""

_RELEASE = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(.*)")

Release = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One executed row of matrix.toml: its versions, its ``scope``, and the known bugs that it showed."""

    id: str
    scope: str
    system: str
    versions: Mapping[str, str]
    broken: frozenset[str]


@dataclass(frozen=True)
class Executed:
    """The rows that speak for a set: one that has it, or the two between which it lies.

    ``between`` is the package in which those two differ, "" for a set that was executed itself.
    """

    rows: tuple[str, ...]
    scope: str
    system: str
    between: str = ""

    def __str__(self) -> str:
        """Describe it in words, as in "executed on Linux (row boundary-1.8.0)"."""
        if self.between:
            first, second = self.rows
            return f"{self.between} lies between two executed sets ({first}, {second})"
        parts = {QUICK: " without the slow tests", SMOKE: " for a few steps of training"}
        return f"executed{parts.get(self.scope, '')} on {self.system} (row {self.rows[0]})"


@functools.cache
def load() -> tuple[Row, ...]:
    """Return every executed row, in the order of the ids."""
    text = resources.files(__package__).joinpath("executed.json").read_text("utf-8")
    document = json.loads(text)
    known = document["bugs"]
    return tuple(
        Row(
            id=row["id"],
            scope=row["scope"],
            system=row["system"],
            versions=row["versions"],
            broken=frozenset(known[index] for index in row["broken"]),
        )
        for row in document["rows"]
    )


def find(installed: Mapping[str, str]) -> Executed | None:
    """Return the rows that speak for an installed set, or None.

    A row *has* a set if every decisive package that is installed has the same version there: the same
    release of those in ``EXACT``, the same series of those in ``SERIES``. What the row has besides does
    not matter, what is installed and not in the row does. A full row is preferred to a quick one.

    A set lies *between* two full rows if both have it but for one and the same package, of which one row
    has an older and the other a newer release, no nearer row on either side, and both showed the same
    known bugs. Pre-releases lie between nothing, and are not executed. Without any package of ``EXACT``
    there is nothing to find.
    """
    wanted = {name: _key(name, installed[name]) for name in DECISIVE if name in installed}
    if not any(name in wanted for name in EXACT) or None in wanted.values():
        return None
    near: dict[str, list[tuple[Release, Row]]] = {}
    having: list[Row] = []
    for row in load():
        there = _keys(row)
        differing = [name for name, key in wanted.items() if there.get(name) != key]
        if not differing:
            having.append(row)
        elif len(differing) == 1 and row.scope == FULL:
            [name] = differing
            other = there.get(name)
            if other is not None:
                near.setdefault(name, []).append((other, row))
    if having:
        best = min(having, key=lambda row: (row.scope != FULL, len(row.versions)))
        return Executed((best.id,), best.scope, best.system)
    for name, rows in near.items():
        key = wanted[name]
        older = [each for each in rows if key is not None and each[0] < key]
        newer = [each for each in rows if key is not None and each[0] > key]
        if older and newer:
            low, high = max(older, key=_first)[1], min(newer, key=_first)[1]
            if low.broken == high.broken:
                return Executed((low.id, high.id), FULL, low.system, between=name)
    return None


def _first(pair: tuple[Release, Row]) -> Release:
    return pair[0]


@functools.cache
def _all_keys() -> dict[str, dict[str, Release | None]]:
    return {
        row.id: {name: _key(name, version) for name, version in row.versions.items()}
        for row in load()
    }


def _keys(row: Row) -> Mapping[str, Release | None]:
    return _all_keys()[row.id]


def _key(name: str, version: str) -> Release | None:
    """Return the numbers of a version that count, without zeroes at the end; None for a pre-release.

    Local versions (2.8.0+cpu) and post-releases count as the release itself.
    """
    match = _RELEASE.fullmatch(version)
    if match is None or not re.fullmatch(r"(\.post\d+)?(\+.*)?", match[2]):
        return None
    numbers = [int(number) for number in match[1].split(".")][: SERIES.get(name)]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
