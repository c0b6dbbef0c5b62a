"""What guides claim, what is true instead, and the test that decides it: reads claims.toml."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from importlib import resources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VERDICTS = ("true", "partly", "false")
DECIDED = ("anywhere", "on a Mac", "by documents")
"""Where the test runs: on any machine; on a Mac with usable MPS only; or what it does is look at
the words of others, because no machine shows the fact itself."""


@dataclass(frozen=True)
class Claim:
    """One row of claims.toml.

    ``claim`` is what guides say, in our words; ``guides`` are their numbers, of those that this
    project began with ("000" to "004"). ``verdict`` is a word of ``VERDICTS``, and ``truth`` the
    sentence to say instead. ``source`` is where that is from: a URL, or what was run or read.
    ``decided`` is a word of ``DECIDED`` and ``test`` the test that decides it, as
    "compat/test_x.py::test_y". A claim whose test could not run is not tested, whatever the verdict.
    """

    id: str
    claim: str
    guides: tuple[str, ...]
    verdict: str
    truth: str
    source: str
    decided: str
    test: str


def parse(text: str) -> tuple[Claim, ...]:
    """Read TOML, one ``Claim`` a row in its order.

    Raises ``KeyError`` for a missing field and ``ValueError`` for a word that is none of ours and
    for an id that is used twice; both name the row.
    """
    found: dict[str, Claim] = {}
    for row in tomllib.loads(text)["claim"]:
        where = row.get("id", "a row without id")
        missing = Claim.__dataclass_fields__.keys() - row.keys()
        if missing:
            raise KeyError(f"claims: {where} has no {sorted(missing)[0]}")
        for field, words in (("verdict", VERDICTS), ("decided", DECIDED)):
            if row[field] not in words:
                raise ValueError(f"claims: {where}: {field} is {row[field]!r}, none of {words}")
        if where in found:
            raise ValueError(f"claims: the id {where} is used twice")
        fields = {name: row[name] for name in Claim.__dataclass_fields__}
        found[where] = Claim(**{**fields, "guides": tuple(row["guides"])})
    return tuple(found.values())


@functools.cache
def load() -> tuple[Claim, ...]:
    """Return all claims, in the order of the file. Raises as ``parse`` does."""
    return parse(resources.files(__package__).joinpath("claims.toml").read_text("utf-8"))
