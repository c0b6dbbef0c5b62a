"""The sets that the smoke test was executed on, as far as they were recorded: `recorded.json`.

`tools/readme_tables.py` writes the file from docs/evidence/fresh/. It says what was seen on one day, on
one machine and on the CPU; a set that is not in it was not executed.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

PACKAGES = (
    "accelerate",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "huggingface-hub",
    "tokenizers",
    "torch",
)
"""The packages whose versions make a set; all of them must agree."""


@dataclass(frozen=True)
class Broken:
    """A stage that began and did not end well: ``bug`` is the id of the known bug, "" if there is none."""

    stage: str
    error: str
    bug: str


@dataclass(frozen=True)
class Recorded:
    """What became of one set: ``row`` of matrix.toml, executed on ``date`` with Python ``python``.

    ``passed`` and ``broken`` are stages in the words of ``smoke.parent``; what the versions do not have, or
    what was not installed, is in neither.
    """

    row: str
    date: datetime.date
    python: str
    versions: Mapping[str, str]
    passed: tuple[str, ...]
    broken: tuple[Broken, ...]


@functools.cache
def load() -> tuple[Recorded, ...]:
    """Return all sets that were executed, in the order of matrix.toml."""
    text = resources.files(__package__).joinpath("recorded.json").read_text("utf-8")
    return tuple(
        Recorded(
            row=record["row"],
            date=datetime.date.fromisoformat(record["date"]),
            python=record["python"],
            versions=record["versions"],
            passed=tuple(record["passed"]),
            broken=tuple(Broken(*each) for each in record["broken"]),
        )
        for record in json.loads(text)
    )


def find(versions: Mapping[str, str]) -> Recorded | None:
    """Return what became of exactly the set that is installed, or None if it was not executed.

    ``versions`` maps package names to versions; a local part, as in "2.15.0+cpu", does not count. Of
    ``PACKAGES``, a set may lack what is installed: then it says nothing about that package. Of several,
    the one with the most packages is returned.
    """
    installed = {name: version.partition("+")[0] for name, version in versions.items()}
    same = [
        each
        for each in load()
        if each.versions
        and all(installed.get(name) == version for name, version in each.versions.items())
    ]
    return max(same, key=lambda each: len(each.versions), default=None)
