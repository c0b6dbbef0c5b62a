"""The limits and mistakes that are no bugs of a release: their words, causes and cures.

Reads ``data/limits/``; the README there explains the fields. Knows no library by name.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from metalassay import pep440
from metalassay.bugs.catalogue import Where
from metalassay.bugs.patterns import expression, required_word

NEAR_BEFORE, NEAR_AFTER = 16_000, 500
"""How many characters before and after the words the ones of ``near`` and ``unless`` may be."""

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "buffer": ("wanted", "elements", "side"),
    "grpo": ("completions", "batch", "fitting"),
    "memory": ("held", "mine", "others", "wanted", "most", "over", "recommended", "kind"),
    "shapes": ("have", "need"),
}
"""The calculations that a row may ask for, and the values that they may add to those of the message."""

_MOST = 50
_PLACES = 10_000
_REACH = 4_000  # more than any pattern matches
_TEXTS = ("title", "cause", "do", "not_help", "sure")
_FIELDS = frozenset(
    {
        *_TEXTS,
        "id",
        "link",
        "patterns",
        "generic",
        "near",
        "unless",
        "words",
        "where",
        "bug",
        "numbers",
    }
    | {"test", "case"}
)


@dataclass(frozen=True)
class Case:
    """Texts that replace those of the row for some versions, or for some values in the message.

    ``when`` maps named groups of the row's patterns, or calculated values, to patterns that must
    match the whole value. A text that is None is the row's.
    """

    where: Where
    when: Mapping[str, str]
    title: str | None
    cause: str | None
    do: tuple[str, ...] | None
    not_help: tuple[str, ...] | None
    sure: str | None


@dataclass(frozen=True)
class Limit:
    """One row of ``data/limits/``; ``packages`` are those whose versions it asks for."""

    id: str
    title: str
    link: str
    patterns: tuple[str, ...]
    generic: bool
    near: tuple[str, ...]
    unless: tuple[str, ...]
    words: tuple[str, ...]
    where: Where
    bug: str | None
    numbers: str | None
    cause: str
    do: tuple[str, ...]
    not_help: tuple[str, ...]
    sure: str
    test: str
    cases: tuple[Case, ...]

    @property
    def values(self) -> frozenset[str]:
        """The names that texts may use in braces: groups of the patterns, and calculated values."""
        groups = (re.compile(expression(pattern)).groupindex for pattern in self.patterns)
        return frozenset().union(NUMBERS.get(self.numbers or "", ()), *groups)

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages, and pseudo-packages of the machine, that decide what is advised."""
        wheres = (self.where, *(case.where for case in self.cases))
        return tuple(
            dict.fromkeys(
                package for where in wheres for alternative in where for package in alternative
            )
        )

    def matches(self, text: str, words: str | None = None) -> Iterator[re.Match[str]]:
        """Yield where one of the patterns matches and what must be near is near, the last first.

        Only the last ``_MOST`` matches, among the last ``_PLACES`` places of a word, are looked at: a
        log may repeat a message many thousand times.
        ``words`` is ``words_of(text)``; pass it when the same text is searched for many limits.
        """
        words = words_of(text) if words is None else words
        found: list[re.Match[str]] = []
        for pattern in self.patterns:
            word, compiled = _compiled(pattern)
            present = [each for each in ((word,) if word else self.words) if each in words]
            for start, end in _around(text, present) if word or self.words else [(0, len(text))]:
                found += compiled.finditer(text, start, end)
        for match in sorted(found, key=lambda match: match.start(), reverse=True)[:_MOST]:
            around = text[max(0, match.start() - NEAR_BEFORE) : match.end() + NEAR_AFTER]
            if self.near and not any(_nearby(words).search(around) for words in self.near):
                continue
            if not any(_nearby(words).search(around) for words in self.unless):
                yield match


def words_of(text: str) -> str:
    """Return each different word of a text once: a word is in the result if it is in the text.

    Logs repeat themselves, so the result is much shorter, and quick to search.
    """
    return " ".join(set(text.split()))


def fits(where: Where, versions: Mapping[str, str]) -> bool | None:
    """Return whether versions are in a range; None if a package is missing that would decide.

    An empty ``where`` fits everything. A version that cannot be read counts as missing.
    """
    if not where:
        return True
    known = {name: version for name, version in versions.items() if pep440.is_version(version)}
    verdicts = [_fits_all(alternative, known) for alternative in where]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def parse(text: str) -> tuple[Limit, ...]:
    """Read the TOML text of a file of limits.

    Raises ``ValueError`` or ``KeyError`` that names the row, for data that could not be used.
    """
    return tuple(_limit(row) for row in tomllib.loads(text)["limit"])


@functools.cache
def load() -> tuple[Limit, ...]:
    """Return all limits, in the order of the files. Raises as ``parse`` does."""
    folder = resources.files(__package__).joinpath("data", "limits")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    limits = tuple(limit for file in files for limit in parse(file.read_text("utf-8")))
    if twice := {limit.id for limit in limits if [each.id for each in limits].count(limit.id) > 1}:
        raise ValueError(f"limits: {sorted(twice)} occur more than once")
    return limits


def get(limit_id: str) -> Limit:
    """Return the limit of that id, or raise ``KeyError``."""
    for limit in load():
        if limit.id == limit_id:
            return limit
    raise KeyError(f"there is no limit {limit_id!r}")


@functools.cache
def _compiled(pattern: str) -> tuple[str, re.Pattern[str]]:
    return required_word(pattern), re.compile(expression(pattern))


@functools.cache
def _nearby(words: str) -> re.Pattern[str]:
    return re.compile(expression(words), re.IGNORECASE)


def _around(text: str, words: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text in which the words are, with enough around them for any pattern."""
    places = sorted(place for word in words for place in _places(text, word))
    start = end = -1
    for place in places:
        begin = max(0, place - _REACH)
        if end < begin:
            if end >= 0:
                yield start, end
            start = begin
        end = place + _REACH
    if end >= 0:
        yield start, end


def _places(text: str, word: str) -> Iterator[int]:
    """Yield the last places of a word, the last first."""
    place = text.rfind(word)
    for _ in range(_PLACES):
        if place < 0:
            return
        yield place
        place = text.rfind(word, 0, place)


def _fits_all(alternative: Mapping[str, SpecifierSet], known: Mapping[str, str]) -> bool | None:
    present = [
        specifier.contains(known[package], prereleases=True)
        for package, specifier in alternative.items()
        if package in known
    ]
    if not all(present):
        return False
    return True if len(present) == len(alternative) else None


def _limit(row: Mapping[str, Any]) -> Limit:
    name = row["id"]
    if unknown := sorted(row.keys() - _FIELDS):
        raise ValueError(f"limits: {name} has no field {unknown[0]!r}")
    if row.get("numbers") not in {None, *NUMBERS}:
        raise ValueError(f"limits: {name}: there is no calculation {row['numbers']!r}")
    limit = Limit(
        id=name,
        title=row["title"],
        link=row["link"],
        patterns=tuple(row["patterns"]),
        generic=row.get("generic", False),
        near=tuple(row.get("near", ())),
        unless=tuple(row.get("unless", ())),
        words=tuple(row.get("words", ())),
        where=_where(row.get("where", ()), name),
        bug=row.get("bug"),
        numbers=row.get("numbers"),
        cause=row["cause"].strip(),
        do=tuple(row["do"]),
        not_help=tuple(row.get("not_help", ())),
        sure=row["sure"],
        test=row["test"],
        cases=tuple(_case(case, name) for case in row.get("case", ())),
    )
    for pattern in (*limit.patterns, *limit.near, *limit.unless):
        try:
            _compiled(pattern)
        except (re.error, ValueError) as error:
            raise ValueError(f"limits: {name}: {pattern!r} is no pattern: {error}") from error
    return limit


def _case(row: Mapping[str, Any], name: str) -> Case:
    if unknown := sorted(row.keys() - {*_TEXTS, "where", "when"}):
        raise ValueError(f"limits: a case of {name} has no field {unknown[0]!r}")
    if "where" not in row and "when" not in row:
        raise ValueError(f"limits: a case of {name} has neither `where` nor `when`")
    return Case(
        where=_where(row.get("where", ()), name),
        when=row.get("when", {}),
        title=row.get("title"),
        cause=row["cause"].strip() if "cause" in row else None,
        do=tuple(row["do"]) if "do" in row else None,
        not_help=tuple(row["not_help"]) if "not_help" in row else None,
        sure=row.get("sure"),
    )


def _where(alternatives: Iterable[Mapping[str, str]], name: str) -> Where:
    try:
        return tuple(
            {package: SpecifierSet(text) for package, text in alternative.items()}
            for alternative in alternatives
        )
    except InvalidSpecifier as error:
        raise ValueError(f"limits: {name}: {error}") from error
