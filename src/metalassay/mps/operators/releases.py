"""Which release of torch an error message comes from: by the commit in it, or by its wording."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from packaging.specifiers import SpecifierSet

SHORTEST_COMMIT = 7
"""How many digits of an abbreviated commit are enough."""


def of_commit(commit: str) -> str | None:
    """Return the release that was built from a commit, given whole or abbreviated; None for any other.

    A nightly and a build of one's own have commits that no release has.
    """
    if len(commit) < SHORTEST_COMMIT:
        return None
    return next((torch for torch, full in commits().items() if full.startswith(commit)), None)


@functools.cache
def commits() -> Mapping[str, str]:
    """Return the commit of each release since 1.12.0, oldest first."""
    return {row["torch"]: row["commit"] for row in _data()["release"]}


@functools.cache
def wordings() -> Mapping[str, SpecifierSet]:
    """Return which releases print a text; the texts are without spaces."""
    return {row["text"].replace(" ", ""): SpecifierSet(row["torch"]) for row in _data()["wording"]}


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("releases.toml").read_text("utf-8")
    return tomllib.loads(text)
