"""Makes the copy of a result file that `metalassay submit` writes: only what is allowed is in it.

``submit_schema`` says for every field what it may contain; whatever else a file holds is left out. So a name, a path
or an address is not searched for: it is not copied, in whatever form somebody writes it. What the copy says
in free text, and what was removed, is returned for the user to read.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import platform
import re
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path

from metalassay.fields import FieldError
from metalassay.results import allowed, parse, submit_schema
from metalassay.results.allowed import Kind
from metalassay.results.parse import SuiteFile, Unfinished, VersionSet
from metalassay.results.submit_schema import (
    DROP,
    REFUSE,
    Each,
    Flag,
    Keys,
    Number,
    OneOf,
    Prose,
    Schema,
    Text,
)

# Names so common that they identify nobody, and are words of our sentences.
_NOBODY = frozenset(
    """
    admin administrator apple build builder ci circleci default docker github gitlab home local
    localhost localdomain mac macbook nobody root runner shared test tests travis ubuntu unknown user
    users vagrant work
    train infer cpu mps cuda float32 bfloat16 float16 samples tokens darwin linux stock patched passed
    failed skipped fine broken torch accelerate transformers python arm64 aarch64
    """.split()  # noqa: SIM905
)
_LEAST = 3  # characters of a name

_REMOVED = re.compile(r"\[removed \d{1,4}\]")

UNKNOWN = "a field that metalassay does not write"
TEXT, WORDS = "a text that is not of the form of this field", "words that are not metalassay's"
TYPE = "a value of another type"


@dataclass
class Stripped:
    """The copy of a result file, and what is in it.

    ``removed`` counts what is not in it by (place, kind), ``kept`` the values that are, by what they
    are, and ``free`` has all free text that the copy contains, with the place of the first; what the
    catalogue of bugs says is not free.
    """

    text: str = ""
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    free: dict[str, str] = field(default_factory=dict)


class _Left(Exception):  # noqa: N818  (not an error: the value has no place in the copy)
    """The value is left out."""


def strip(content: bytes, names: Iterable[tuple[str, str]] = ()) -> Stripped:
    """Return a copy of a result file that contains only what its fields may contain.

    ``names`` are pairs of a kind and a name, as ``of_this_machine`` returns them: they are cut from free text
    even where they are ordinary words. Raises ``FieldError`` for a file that is not a result or contradicts
    itself, for one with another workload, device or version than metalassay knows, and if the figures in the copy
    would differ.
    """
    before = parse.parse(content, "")
    if isinstance(before, SuiteFile):
        raise FieldError("benchmarks of another project, whose names may be private")
    if not before or isinstance(before, Unfinished):
        raise FieldError("it contains no measurement and no verdict")
    if isinstance(before, VersionSet) and before.distrusted:
        raise FieldError(f"it contradicts itself: {before.distrusted}")
    document = json.loads(content.decode("utf-8-sig"))
    stripped = Stripped()
    copy = _Copier(_words_of(names), stripped).copy(document, _schema(document), "")
    stripped.text = json.dumps(copy, indent=1, allow_nan=False) + "\n"
    after = parse.parse(stripped.text.encode(), "")
    if _figures(after) != _figures(before):
        places = ", ".join(f"{place}: {kind}" for place, kind in list(stripped.removed)[:3])
        raise FieldError(f"removing what is private would change its results ({places})")
    if isinstance(after, VersionSet) and after.distrusted:
        raise FieldError(f"its copy would contradict itself: {after.distrusted}")
    return stripped


def of_this_machine() -> list[tuple[str, str]]:
    """Return the names of this machine and of its user, as pairs of a kind and a name."""
    names = [("host name", socket.gethostname()), ("host name", platform.node())]
    # Windows has no pwd; in a container the user may be a number without a name or a home.
    with contextlib.suppress(ImportError, KeyError, OSError):
        user = getpass.getuser()
        names.append(("user name", user))
        import pwd

        # On a Mac this is the full name.
        names.append(("full name", pwd.getpwnam(user).pw_gecos.partition(",")[0]))
    with contextlib.suppress(RuntimeError):
        names.append(("user name", Path.home().name))
    return names


def _words_of(names: Iterable[tuple[str, str]]) -> frozenset[str]:
    words = (
        word for _, name in names for word in (name.lower(), *re.split(r"[\s.,_-]+", name.lower()))
    )
    return frozenset(
        word
        for word in words
        if len(word) >= _LEAST and word not in _NOBODY and not word.isdecimal()
    )


def _schema(document: Mapping[str, object]) -> Schema:
    name = document.get("schema")
    for start, schema in submit_schema.FORMATS.items():
        if isinstance(name, str) and name.startswith(start):
            return schema
    return submit_schema.BENCHMARKS


@dataclass
class _Copier:
    """Copies a document along its schema; the depth is the schema's, however deep the document is."""

    names: frozenset[str]
    stripped: Stripped
    numbers: dict[str, int] = field(default_factory=dict)
    known: dict[tuple[Kind, str], str | None] = field(default_factory=dict)

    def copy(self, value: object, schema: Schema, place: str) -> object:
        """Return what may be kept of a value. Raises ``_Left`` for one that has no place in the copy."""
        if value is None:
            return None
        if isinstance(schema, OneOf):
            lists = isinstance(value, list)
            schema = next(one for one in schema.options if isinstance(one, Each) == lists)
        if isinstance(schema, Text | Prose) and isinstance(value, str):
            return self._text(value, schema, place)
        if isinstance(schema, Flag) and isinstance(value, bool):
            self.stripped.kept["flags"] += 1
            return value
        if isinstance(schema, Number) and type(value) in (int, float):
            return self._number(value, schema.most, place)
        if isinstance(schema, Each) and isinstance(value, list):
            return self._list(value, schema, place)
        if isinstance(schema, Keys) and isinstance(value, dict):
            return self._keys(value, schema, place)
        if isinstance(schema, Mapping) and isinstance(value, dict):
            return self._object(value, schema, place)
        self._removed(place, TYPE)
        raise _Left

    def _object(
        self, value: Mapping[str, object], schema: Mapping[str, Schema], place: str
    ) -> object:
        copy: dict[str, object] = {}
        for key, member in value.items():
            if key not in schema:
                self._removed(".".join(filter(None, (place, allowed.prose(key)))), UNKNOWN)
                continue
            with contextlib.suppress(_Left):
                copy[key] = self.copy(member, schema[key], f"{place}.{key}" if place else key)
        return copy

    def _keys(self, value: Mapping[str, object], schema: Keys, place: str) -> object:
        copy: dict[str, object] = {}
        for number, (key, member) in enumerate(value.items(), 1):
            name = schema.kind(key)
            if name is None:
                if not (schema.renamed and _REMOVED.fullmatch(key)):
                    self._removed(f"a key of {place}", TEXT)
                if not schema.renamed:
                    continue
                name = f"{submit_schema.REMOVED[:-1]} {number}]"
            with contextlib.suppress(_Left):
                copy[name] = self.copy(member, schema.of, f"{place}.{name}")
        return copy

    def _list(self, value: list[object], schema: Each, place: str) -> object:
        copy: list[object] = []
        for index, member in enumerate(value):
            with contextlib.suppress(_Left):
                copy.append(self.copy(member, schema.of, f"{place}[{index}]"))
        return copy

    def _number(self, value: object, most: float, place: str) -> object:
        assert isinstance(value, int | float)  # noqa: S101
        if isinstance(value, float) and not math.isfinite(value):
            self._removed(place, "a number that is none")
            return None  # not JSON; where the reader looks, it would have refused the file
        if abs(value) > most:
            self._removed(place, "a number of too many digits")
            return None
        self.stripped.kept["numbers"] += 1
        return value

    def _text(self, value: str, schema: Text | Prose, place: str) -> object:
        if isinstance(schema, Prose):
            if value in allowed.sentences():
                self.stripped.kept["sentences of the catalogue of bugs"] += 1
                return value
            kept = (allowed.evidence if schema.traceback else allowed.prose)(value, self.names)
            if kept.strip() != value.strip():
                self._removed(place, WORDS)
            if kept.strip():
                self.stripped.free.setdefault(kept, place)
            return kept
        if schema.instead == submit_schema.REMOVED and _REMOVED.fullmatch(value):
            return value  # a copy of a copy
        if (schema.kind, value) not in self.known:
            self.known[schema.kind, value] = schema.kind(value)  # benchmarks repeat their texts
        found = self.known[schema.kind, value]
        if found is not None:
            if found != value:
                self._removed(place, "a part")
            self.stripped.kept["words, versions and times"] += 1
            return found
        if schema.instead is REFUSE:
            raise FieldError(f"{place}: not a value that this metalassay knows (a newer one may)")
        if value == schema.instead:
            return value
        self._removed(place, TEXT)
        if schema.instead is DROP:
            raise _Left
        if schema.instead == submit_schema.REMOVED:
            # Results are told apart by such texts: equal ones stay equal, and others stay others.
            number = self.numbers.setdefault(value, len(self.numbers) + 1)
            return f"{submit_schema.REMOVED[:-1]} {number}]"
        return schema.instead

    def _removed(self, place: str, kind: str) -> None:
        self.stripped.removed[place, kind] += 1


_EXACT = frozenset(
    """
    mode device dtype unit workload identity malloc verdict outcome upstream status series system torch
    """.split()  # noqa: SIM905
)
"""The fields of a result whose words decide what its figures mean."""


def _figures(result: object, name: str = "") -> object:
    """Return what must be the same before and after: numbers, times, and the words that decide what they mean."""
    if is_dataclass(result) and not isinstance(result, type):
        return [
            _figures(getattr(result, one.name), one.name)
            for one in fields(result)
            if one.name not in _OPEN
        ]
    if isinstance(result, Mapping):
        return {key: _figures(value, key) for key, value in result.items() if key in _EXACT}
    if isinstance(result, tuple | list):
        return [_figures(one, name) for one in result]
    if isinstance(result, str):
        return result if name in _EXACT else "" if name == "not_installable" else None
    if isinstance(result, bool | int | float | datetime):
        return result
    return None


_OPEN = frozenset({"requires", "lock", "frames", "fixes"})
"""Lists of which a part may be left out."""
