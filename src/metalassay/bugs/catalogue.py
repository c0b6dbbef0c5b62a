"""The known bugs and the versions that each applies to, read from ``data/``.

Knows no library by name. Other rooms use it through the package: ``bugs.load()``, ``bugs.get(id)``.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

Where = tuple[Mapping[str, SpecifierSet], ...]
"""Alternatives; one alternative maps package names to versions, and all of them must match."""


MPS = "mps"
"""What a bug needs that only a GPU of a Mac has."""

REPORTED_ONLY = "reported upstream, not run by us"

_INSTALL = "{install}"


@dataclass(frozen=True)
class Fix:
    """One thing to try against a bug.

    ``install`` lists the requirements (PEP 508) of a fix that changes versions; it is empty for one
    that keeps them. In ``text``, ``{install}`` stands where the command for them goes.
    """

    text: str
    install: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the fix as a sentence, with the command for pip."""
        quoted = (each if each.isalnum() else f"'{each}'" for each in self.install)
        return self.text.replace(_INSTALL, f"pip install {' '.join(quoted)}")

    def requirements(self) -> tuple[Requirement, ...]:
        """Return ``install``, parsed."""
        return tuple(Requirement(each) for each in self.install)


@dataclass(frozen=True)
class Symptom:
    """One way in which a bug shows: the exception's type name and a pattern for its message.

    ``generic``: other mistakes produce the same message, so it is no proof of this bug.
    ``own_words``: but only code of the bug's packages says so, not Python or just any library.
    ``frame``: a pattern for the frame below which a generic message counts, instead of any frame of
    the bug's packages. ``intermittent``: it does not show every time, so a pass proves nothing.
    ``about``: for what people describe, since nothing is printed; patterns that must all be near.
    """

    id: str
    raises: str
    match: str
    seen: tuple[str, ...]
    where: Where
    generic: bool = False
    own_words: bool = False
    frame: str | None = None
    intermittent: bool = False
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calls:
    """Which calls meet a bug, as far as a call shows it; ``data/README.md`` explains the fields."""

    operators: tuple[str, ...]
    inputs: frozenset[str] = frozenset()
    argument: int | None = None
    dimension: int | None = None
    longer_than: int | None = None
    at_most: int | None = None


INPUTS = frozenset(
    {
        "strided",
        "offset",
        "nan",
        "empty",
        "bool",
        "integer",
        "half",
        "frozen",
        "non_blocking",
        "compiled",
    }
)
"""What ``Calls.inputs`` may name."""


@dataclass(frozen=True)
class Bug:
    """One row of ``data/``; the README there explains the fields.

    ``reported_only``: range and symptom come from upstream's reports; we never saw the bug. ``entry``
    is where one meets it, and ``stops`` whether nearly everybody does who goes there with these
    versions. ``reports`` counts the public reports that we know of. ``needs``: what a machine must have
    for it, "mps" or "".
    ``brought_by``: the bug whose fix brings this one, "" for none. ``calls``: which operators meet it, None
    where that is not recorded.
    """

    id: str
    title: str
    link: str
    reported: str | None
    where: Where
    cause: str
    fixes: tuple[Fix, ...]
    not_fixes: tuple[str, ...]
    patch: str | None
    masked_by: tuple[str, ...]
    symptoms: tuple[Symptom, ...]
    reported_only: bool = False
    entry: str = ""
    stops: bool = False
    reports: int = 0
    needs: str = ""
    brought_by: str = ""
    calls: Calls | None = None

    def hits(self, versions: Mapping[str, str], symptom: str | None = None) -> bool:
        """Return whether the bug, or one symptom of it, is expected with these versions installed.

        ``versions`` maps package names to version strings. A package that is not installed is not
        affected. Raises ``KeyError`` for a symptom that the data does not have.
        """
        where = self.where if symptom is None else self.symptom(symptom).where
        return any(
            all(
                package in versions
                and specifier.contains(_parsed(versions[package]), prereleases=True)
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
        """Return the affected versions as text, such as ``accelerate >=0.11.0,<1.9.0``."""
        return where_text(self.where)

    def advice(self) -> tuple[str, ...]:
        """Return all fixes as sentences, then what does not help, each marked as not a fix."""
        return (
            *(str(fix) for fix in self.fixes),
            *(f"not a fix: {each}" for each in self.not_fixes),
        )


@functools.lru_cache(maxsize=4096)
def _parsed(version: str) -> Version:
    """Return a version, parsed once: the plan of fixes asks thousands of times for a few hundred."""
    return Version(version)


def where_text(where: Where) -> str:
    """Return versions as text, such as ``accelerate >=0.11.0,<1.9.0``; "" where none is named."""
    # SpecifierSet forgets the order it was written in; lower bounds read better first.
    return " or ".join(
        " with ".join(
            f"{package} {','.join(sorted((str(s) for s in specifiers), reverse=True))}"
            for package, specifiers in alternative.items()
        )
        for alternative in where
    )


def parse(text: str, *, check: bool = True) -> tuple[Bug, ...]:
    """Read the TOML text of a bug file.

    Raises ``ValueError`` or ``KeyError`` that names the row, for data that no test could check. Without
    ``check``, patterns and requirements are not looked at, which takes most of the time.
    """
    found = tuple(_bug(row) for row in tomllib.loads(text)["bug"])
    if check:
        for bug in found:
            _check(bug)
    return found


@functools.cache
def load() -> tuple[Bug, ...]:
    """Return all known bugs, in the order of the files; a test checks them."""
    return unique(bug for text in _texts().values() for bug in parse(text, check=False))


@functools.cache
def revision() -> str:
    """Return a hash, twelve hexadecimal digits, of what verdicts depend on: which bug shows where, and how.

    Titles, causes, advice and links may change without making a recorded verdict old, and so may the
    patterns that only `explain` uses.
    """
    import hashlib  # here: it takes longer to import than the data to read

    facts = [
        {
            "id": bug.id,
            "where": _canonical(bug.where),
            "patch": bug.patch,
            "masked_by": sorted(bug.masked_by),
            "reported_only": bug.reported_only,
            "symptoms": [
                [
                    symptom.id,
                    symptom.raises,
                    symptom.match,
                    _canonical(symptom.where),
                    symptom.intermittent,
                ]
                for symptom in bug.symptoms
            ],
        }
        for bug in sorted(load(), key=lambda bug: bug.id)
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _canonical(where: Where) -> list[dict[str, list[str]]]:
    return [
        {package: sorted(map(str, specifier)) for package, specifier in alternative.items()}
        for alternative in where
    ]


def _texts() -> dict[str, str]:
    """Return the texts of the bug files by name, in the order of the names."""
    folder = resources.files(__package__).joinpath("data")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {file.name: file.read_text("utf-8") for file in files}


def unique(bugs: Iterable[Bug]) -> tuple[Bug, ...]:
    """Return the bugs; raise ``ValueError`` if an id is used twice, or a mask is not defined."""
    by_id = {}
    for bug in bugs:
        if bug.id in by_id:
            raise ValueError(f"known_bugs: the id {bug.id} is used twice")
        by_id[bug.id] = bug
    for bug in by_id.values():
        if bug.brought_by and bug.brought_by not in by_id:
            raise ValueError(
                f"known_bugs: {bug.id} is brought by {bug.brought_by}, which does not exist"
            )
        unknown = [mask for mask in bug.masked_by if mask not in by_id]
        if unknown:
            raise ValueError(
                f"known_bugs: {bug.id} is masked by {unknown[0]}, which does not exist"
            )
    return tuple(by_id.values())


def get(bug_id: str) -> Bug:
    """Return the bug of that id, or raise ``KeyError``."""
    for bug in load():
        if bug.id == bug_id:
            return bug
    raise KeyError(f"there is no known bug {bug_id!r}")


def _bug(row: Mapping[str, Any]) -> Bug:
    where = _where(row["where"])
    return Bug(
        id=row["id"],
        title=row["title"],
        link=row["link"],
        reported=row.get("reported"),
        where=where,
        cause=row["cause"].strip(),
        fixes=tuple(_fix(entry, row["id"]) for entry in row["fixes"]),
        not_fixes=tuple(row.get("not_fixes", ())),
        patch=row.get("patch"),
        masked_by=tuple(row.get("masked_by", ())),
        symptoms=tuple(_symptom(symptom, row["id"], where) for symptom in row["symptom"]),
        reported_only=_flag(row, "reported_only", row["id"]),
        entry=row.get("entry", ""),
        stops=_flag(row, "stops", row["id"]),
        reports=_count(row, "reports", row["id"]),
        needs=_needs(row),
        brought_by=row.get("brought_by", ""),
        calls=_calls(row),
    )


def _check(bug: Bug) -> None:
    """Raise ``ValueError`` for a pattern or a requirement that is not valid."""
    for fix in bug.fixes:
        try:
            fix.requirements()
        except InvalidRequirement as error:
            message = f"known_bugs: {bug.id}: invalid requirement in a fix: {error}"
            raise ValueError(message) from error
    for symptom in bug.symptoms:
        for pattern in (symptom.match, *symptom.seen, symptom.frame or "", *symptom.about):
            try:
                re.compile(pattern)
            except re.error as error:
                message = f"{bug.id}, symptom {symptom.id}: {pattern!r} is not a valid pattern"
                raise ValueError(f"known_bugs: {message}: {error}") from error


def _fix(entry: str | Mapping[str, Any], bug_id: str) -> Fix:
    """Read a fix: a sentence, or a table with ``install`` and, unless it is an upgrade, ``text``."""
    if isinstance(entry, str):
        entry = {"text": entry}
    fix = Fix(entry.get("text", f"upgrade: {_INSTALL}"), tuple(entry.get("install", ())))
    unknown = sorted(entry.keys() - {"text", "install"})
    if unknown:
        raise ValueError(f"known_bugs: {bug_id}: a fix has no field {unknown[0]!r}")
    if (_INSTALL in fix.text) is not bool(fix.install):
        raise ValueError(
            f"known_bugs: {bug_id}: fix {fix.text!r} needs both {_INSTALL} and `install`, or neither"
        )
    return fix


def _flag(row: Mapping[str, Any], key: str, place: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"known_bugs: {place}: {key} = {value!r} is neither true nor false")
    return value


def _count(row: Mapping[str, Any], key: str, place: str) -> int:
    value = row.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"known_bugs: {place}: {key} = {value!r} is no count")
    return value


def _calls(row: Mapping[str, Any]) -> Calls | None:
    table = row.get("calls")
    if table is None:
        return None
    found = Calls(
        **{
            **table,
            "operators": tuple(table["operators"]),
            "inputs": frozenset(table.get("inputs", ())),
        }
    )
    unknown = sorted(found.inputs - INPUTS)
    if unknown or not found.operators:
        raise ValueError(f"known_bugs: {row['id']}: calls has {unknown or 'no operators'}")
    return found


def _needs(row: Mapping[str, Any]) -> str:
    needs: str = row.get("needs", "")
    if needs not in ("", MPS):
        raise ValueError(f"known_bugs: {row['id']}: needs = {needs!r} is not {MPS!r}")
    return needs


def _symptom(row: Mapping[str, Any], bug_id: str, where: Where) -> Symptom:
    place = f"{bug_id}, symptom {row['id']}"
    return Symptom(
        id=row["id"],
        raises=row["raises"],
        match=row["match"],
        seen=tuple(row.get("seen", ())),
        where=_where(row["where"]) if "where" in row else where,
        generic=_flag(row, "generic", place),
        own_words=_flag(row, "own_words", place),
        frame=row.get("frame"),
        intermittent=_flag(row, "intermittent", place),
        about=tuple(row.get("about", ())),
    )


def _where(alternatives: list[Mapping[str, str]]) -> Where:
    return tuple(
        {package: SpecifierSet(text) for package, text in alternative.items()}
        for alternative in alternatives
    )
