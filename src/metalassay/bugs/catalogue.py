"""Which known bugs apply to which versions. Reads bugs/data/; knows no library by name."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from packaging.specifiers import SpecifierSet

Where = tuple[Mapping[str, SpecifierSet], ...]
"""Alternatives; one alternative maps package names to versions, and all of them must match."""


REPORTED_ONLY = "reported upstream, not run by us"


@dataclass(frozen=True)
class Symptom:
    """One way in which a bug shows: the exception's type name and a pattern for its message."""

    id: str
    raises: str
    match: str
    seen: tuple[str, ...]
    where: Where


@dataclass(frozen=True)
class Bug:
    """One row of bugs/data/; the README there explains the fields.

    ``reported_only``: range and symptom come from upstream's reports; we never saw the bug.
    """

    id: str
    title: str
    link: str
    reported: str | None
    where: Where
    cause: str
    fixes: tuple[str, ...]
    patch: str | None
    masked_by: tuple[str, ...]
    symptoms: tuple[Symptom, ...]
    reported_only: bool = False

    def hits(self, versions: Mapping[str, str], symptom: str | None = None) -> bool:
        """Say whether the bug, or one symptom of it, is expected with these versions installed.

        ``versions`` maps package names to version strings. A package that is not installed is not
        affected. Raises ``KeyError`` for a symptom that the data does not have.
        """
        where = self.where if symptom is None else self.symptom(symptom).where
        return any(
            all(
                package in versions and specifier.contains(versions[package], prereleases=True)
                for package, specifier in alternative.items()
            )
            for alternative in where
        )

    def symptom(self, symptom_id: str) -> Symptom:
        """Return the symptom of that id, or raise ``KeyError``."""
        for symptom in self.symptoms:
            if symptom.id == symptom_id:
                return symptom
        raise KeyError(f"known_bugs: {self.id} has no symptom {symptom_id!r}")

    @property
    def packages(self) -> frozenset[str]:
        """Names of the packages, and of the machine's pseudo-packages, that decide where it applies."""
        return frozenset(package for alternative in self.where for package in alternative)

    def where_text(self) -> str:
        """Return the affected versions in words, as in ``accelerate >=0.11.0,<1.9.0``."""
        # SpecifierSet forgets the order it was written in; lower bounds read better first.
        return " or ".join(
            " with ".join(
                f"{package} {','.join(sorted((str(s) for s in specifiers), reverse=True))}"
                for package, specifiers in alternative.items()
            )
            for alternative in self.where
        )


def parse(text: str) -> tuple[Bug, ...]:
    """Read the TOML text of a bug file.

    Raises ``ValueError`` or ``KeyError`` that names the row, for data that no test could check.
    """
    return tuple(_bug(row) for row in tomllib.loads(text)["bug"])


@functools.cache
def load() -> tuple[Bug, ...]:
    """Return all known bugs, in the order of the files. Raises as ``parse`` does."""
    folder = resources.files(__package__).joinpath("data")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return unique(bug for file in files for bug in parse(file.read_text("utf-8")))


def unique(bugs: Iterable[Bug]) -> tuple[Bug, ...]:
    """Return the bugs, or raise ``ValueError`` when an id is used twice or nowhere defined."""
    found = {}
    for bug in bugs:
        if bug.id in found:
            raise ValueError(f"known_bugs: the id {bug.id} is used twice")
        found[bug.id] = bug
    for bug in found.values():
        unknown = [each for each in bug.masked_by if each not in found]
        if unknown:
            raise ValueError(
                f"known_bugs: {bug.id} is masked by {unknown[0]}, which does not exist"
            )
    return tuple(found.values())


def get(bug_id: str) -> Bug:
    """Return the bug of that id, or raise ``KeyError``."""
    for bug in load():
        if bug.id == bug_id:
            return bug
    raise KeyError(f"known_bugs has no bug {bug_id!r}")


def _bug(row: Mapping[str, Any]) -> Bug:
    where = _where(row["where"])
    return Bug(
        id=row["id"],
        title=row["title"],
        link=row["link"],
        reported=row.get("reported"),
        where=where,
        cause=row["cause"].strip(),
        fixes=tuple(row["fixes"]),
        patch=row.get("patch"),
        masked_by=tuple(row.get("masked_by", ())),
        symptoms=tuple(_symptom(each, row["id"], where) for each in row["symptom"]),
        reported_only=_flag(row, "reported_only"),
    )


def _flag(row: Mapping[str, Any], key: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"known_bugs: {row['id']}: {key} = {value!r} is neither true nor false")
    return value


def _symptom(row: Mapping[str, Any], bug_id: str, where: Where) -> Symptom:
    for pattern in (row["match"], *row.get("seen", ())):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"known_bugs: {bug_id}, symptom {row['id']}: {pattern!r} is no pattern: {error}"
            ) from error
    return Symptom(
        id=row["id"],
        raises=row["raises"],
        match=row["match"],
        seen=tuple(row.get("seen", ())),
        where=_where(row["where"]) if "where" in row else where,
    )


def _where(alternatives: list[Mapping[str, str]]) -> Where:
    return tuple(
        {package: SpecifierSet(text) for package, text in alternative.items()}
        for alternative in alternatives
    )
