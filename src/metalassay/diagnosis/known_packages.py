"""The packages that are known by name, and where a question about each belongs."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Package:
    """A package; ``forum`` is None where questions are asked on the tracker too."""

    name: str
    forum: str | None
    tracker: str


@functools.cache
def _data() -> tuple[dict[str, Package], frozenset[str]]:
    text = resources.files(__package__).joinpath("packages.toml").read_text("utf-8")
    data = tomllib.loads(text)
    packages = {
        row["name"]: Package(row["name"], row.get("forum"), row["tracker"])
        for row in data["package"]
    }
    return packages, frozenset(data["others"]["names"])


def named(import_name: str) -> Package | None:
    """Return the package of an import name such as ``huggingface_hub``, if questions have a place."""
    return _data()[0].get(canonicalize_name(import_name))


def names() -> frozenset[str]:
    """Return the names of all packages in the data."""
    packages, others = _data()
    return others | packages.keys()


def similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a mistyped one, if one is alike."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, 0.75)), None)
