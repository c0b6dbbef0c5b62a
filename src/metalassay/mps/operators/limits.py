"""Calls that a kernel of MPS refuses for their sizes, by release. Imports no torch.

limits.toml says which kernels ask what; limits.json has the errors as the macOS libraries contain them,
written by tools/mps_limits.py. A release whose library has no such error does not refuse.
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

SCHEMA = "metalassay.limits/1"


@dataclass(frozen=True)
class Limit:
    """One row of limits.toml; ``id`` names the check."""

    id: str
    operators: tuple[str, ...]
    says: str
    source: str


@functools.cache
def rows() -> tuple[Limit, ...]:
    """Return the rows of limits.toml."""
    text = resources.files(__package__).joinpath("limits.toml").read_text("utf-8")
    return tuple(
        Limit(row["id"], tuple(row["operators"]), row["says"], row["source"])
        for row in tomllib.loads(text)["limit"]
    )


def texts(version: str) -> Mapping[str, str]:
    """Return a release's errors by the id of the limit; ``version`` is as in ``oracle.versions``."""
    return _errors().get(version, {})


def by_operator(version: str) -> dict[str, list[tuple[str, str]]]:
    """Return, by operator without overload, the limits of its kernel in a release: id and error."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows():
        if text := texts(version).get(row.id):
            for operator in row.operators:
                found.setdefault(operator, []).append((row.id, text))
    return found


@functools.cache
def _errors() -> Mapping[str, Mapping[str, str]]:
    text = resources.files(__package__).joinpath("limits.json").read_text("utf-8")
    releases: Mapping[str, Mapping[str, str]] = json.loads(text)["releases"]
    return releases
