"""Which release of a package has which name, argument and attribute.

The data in ``data/api/`` was read from the source of every release by ``tools/api_history.py``;
nothing is imported. A package's file is loaded when it is first asked for. What the source does not
tell (an argument that may pass through ``**kwargs``, a class with an unknown base) is None.
"""

from __future__ import annotations

import bisect
import functools
import gzip
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from packaging.version import Version

PACKAGES = ("accelerate", "datasets", "peft", "transformers", "trl")
MODELS = "transformers.models."
# Since transformers 5 a lazy module answers for old names of these kinds that its source does not show.
_ALIASED = ("TokenizerFast", "Tokenizer", "ImageProcessorFast", "ImageProcessor")
_ALIASED_SINCE = "5.0.0"
_ALIASED_MODULE = re.compile(r"transformers\.models\.\w+\.image_processing_\w+_fast")

_FOLDER = resources.files(__package__).joinpath("data").joinpath("api")


@dataclass(frozen=True)
class Signature:
    """The parameters of a callable, in order, ``self`` included.

    ``required`` are those without a default value. ``taken`` are the names that its body takes out
    of ``**kwargs``, ``renamed`` the deprecated names that are still accepted, with their new names.
    """

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    required: frozenset[str]
    any_positional: bool
    any_keyword: bool
    taken: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every argument that can be given by its name."""
        return (
            tuple(each for each in self.positional if each not in ("self", "cls"))
            + self.keyword_only
        )

    def accepts(self, parameter: str) -> bool | None:
        """Return whether an argument can be given by name; None where ``**kwargs`` may take it."""
        if parameter in self.names or parameter in self.renamed or parameter in self.taken:
            return True
        return None if self.any_keyword else False


@functools.lru_cache(4096)
def parse(text: str) -> Signature | None:
    """Read a signature of the data; None for one that the source does not tell."""
    if text == "?":
        return None
    written, _, rest = text.partition(";")
    taken, _, renamed = rest.partition(";")
    positional: list[str] = []
    keyword_only: list[str] = []
    required: list[str] = []
    any_positional = any_keyword = False
    into = positional
    for part in filter(None, written.split(",")):
        if part == "/":
            continue
        if part.startswith("**"):
            any_keyword = True
        elif part.startswith("*"):
            any_positional |= part != "*"
            into = keyword_only
        else:
            into.append(part.removesuffix("="))
            if not part.endswith("="):
                required.append(part)
    return Signature(
        tuple(positional),
        tuple(keyword_only),
        frozenset(required) - {"self", "cls"},
        any_positional,
        any_keyword,
        frozenset(filter(None, taken.split(","))),
        dict(pair.split(">") for pair in filter(None, renamed.split(","))),
    )


@dataclass(frozen=True)
class Timeline:
    """Whether something is so in each release of a package: True, False, or None for unknown."""

    package: str
    releases: tuple[str, ...]
    states: tuple[bool | None, ...]

    def at(self, version: str) -> bool | None:
        """Return the state in a version; for one between two releases, what both agree on."""
        found = {self.states[index] for index in indices(self.releases, version)}
        return found.pop() if len(found) == 1 else None

    @property
    def ever(self) -> bool:
        """Whether any release has it."""
        return True in self.states

    def spans(self) -> tuple[tuple[str, str], ...]:
        """Return the first and last release of each stretch that has it."""
        found: list[tuple[str, str]] = []
        for index, state in enumerate(self.states):
            if state is True:
                if index and self.states[index - 1] is True:
                    found[-1] = (found[-1][0], self.releases[index])
                else:
                    found.append((self.releases[index], self.releases[index]))
        return tuple(found)

    def before(self, version: str) -> str | None:
        """Return the last release older than ``version`` that has it."""
        return next(
            (each for each in reversed(self._having()) if Version(each) < Version(version)), None
        )

    def after(self, version: str) -> str | None:
        """Return the first release newer than ``version`` that has it."""
        return next((each for each in self._having() if Version(each) > Version(version)), None)

    def negated(self) -> Timeline:
        """Return the releases that do not have it; what is unknown stays so."""
        states = tuple(None if each is None else not each for each in self.states)
        return Timeline(self.package, self.releases, states)

    def _having(self) -> list[str]:
        return [
            each for each, state in zip(self.releases, self.states, strict=True) if state is True
        ]

    def words(self, named: bool = False) -> str:
        """Say which releases have it: "until 0.15.2", "since 4.46.0", "from 0.9.2 to 0.12.2".

        With ``named``, with the name of the package: "until trl 0.15.2".
        """
        name = f"{self.package} " if named else ""
        oldest, newest = self.releases[0], self.releases[-1]
        parts = []
        for first, last in self.spans():
            if first == oldest and last == newest:
                part = f"in every release from {name}{first} to {last}"
            elif first == oldest:
                part = f"until {name}{last}"
            elif last == newest:
                part = f"since {name}{first}"
            elif first == last:
                part = f"in {name}{first} alone"
            else:
                part = f"from {name}{first} to {last}"
            unsure = None in (self._next(first, -1), self._next(last, 1))
            parts.append(f"at least {part}" if unsure else part)
        return " and ".join(parts) or f"in no release from {name}{oldest} to {newest}"

    def _next(self, release: str, step: int) -> bool | None:
        """Return the state of the release before or after one; False at either end."""
        index = self.releases.index(release) + step
        return self.states[index] if 0 <= index < len(self.states) else False


def indices(releases: tuple[str, ...], version: str) -> tuple[int, ...]:
    """Return the index of a version, of both its neighbours if it is not listed, or nothing."""
    try:
        public = Version(Version(version).public)
    except ValueError:
        return ()
    known = _versions(releases)
    at = bisect.bisect_left(known, public)
    if at < len(known) and known[at] == public:
        return (at,)
    if at == len(known):
        return (at - 1,)  # newer than all that was read: what was gone stays so
    return (at - 1, at) if at else ()


@functools.cache
def _versions(releases: tuple[str, ...]) -> tuple[Version, ...]:
    return tuple(Version(each) for each in releases)


@dataclass(frozen=True)
class Method:
    """A method that a class has: the path of the class that defines it, and its signature if known."""

    owner: str
    signature: Signature | None


@dataclass(frozen=True)
class Rename:
    """A hand-kept replacement of something that a release dropped, with its source.

    ``what`` is "Class(argument)", "Class.method(argument)", "function(argument)", "Class.attribute",
    or the dotted path of a name or a module. ``now`` is what stands in its place, empty if nothing
    does; ``do`` are sentences.
    """

    package: str
    what: str
    now: str
    do: tuple[str, ...]
    why: str
    link: str


class History:
    """What the releases of one package have."""

    def __init__(self, data: Mapping[str, Any], models: Callable[[], Mapping[str, Any]]) -> None:
        self.package: str = data["package"]
        self.releases: tuple[str, ...] = tuple(data["releases"])
        self.dynamic = frozenset(data["dynamic"])
        self.functions: Mapping[str, list[Any]] = data["functions"]
        self.classes: Mapping[str, Mapping[str, Any]] = data["classes"]
        self.uses: Mapping[str, list[int]] = data["uses"]
        self._modules: Mapping[str, list[int]] = data["modules"]
        self._names: Mapping[str, Mapping[str, list[int]]] = data["names"]
        self._models = models

    def timeline(self, state: Callable[[int], bool | None]) -> Timeline:
        """Return a timeline from what ``state`` says of each release's index."""
        return Timeline(self.package, self.releases, tuple(map(state, range(len(self.releases)))))

    def module(self, name: str) -> Timeline:
        """Return the releases that have a module."""
        changes = self._modules.get(name, ())
        aliased = _ALIASED_MODULE.fullmatch(name) is not None
        return self.timeline(lambda index: _present(changes, index) or self._absent(aliased, index))

    def _absent(self, aliased: bool, index: int) -> bool | None:
        """Return False, or None where a lazy module may answer for what its source does not show."""
        return None if aliased and index >= self._aliased_since else False

    @functools.cached_property
    def _aliased_since(self) -> int:
        return bisect.bisect_left(_versions(self.releases), Version(_ALIASED_SINCE))

    def name(self, module: str, name: str) -> Timeline:
        """Return the releases in which ``from module import name`` works."""
        if f"{module}.".startswith(MODELS) and module not in self._names:
            return self._model_name(module, name)
        changes = self._names.get(module, {}).get(name, ())
        submodule = self._modules.get(f"{module}.{name}", ())
        aliased = self.package == "transformers" and name.endswith(_ALIASED)

        def state(index: int) -> bool | None:
            if _present(changes, index) or _present(submodule, index):
                return True
            return None if module in self.dynamic else self._absent(aliased, index)

        return self.timeline(state)

    def known_names(self, module: str) -> tuple[str, ...]:
        """Return every name that some release of a module has."""
        return tuple(self._in(module))

    def module_names(self, index: int) -> tuple[str, ...]:
        """Return the modules of a release."""
        return tuple(name for name, changes in self._modules.items() if _present(changes, index))

    def _model_name(self, module: str, name: str) -> Timeline:
        """Return the releases in which a model's module has a name, or one of a model's modules."""
        found = [
            names[name]
            for path, names in self._models().items()
            if name in names and (path == module or path.rpartition(".")[0] == module)
        ]
        if not found:  # only what was defined there is in the data
            return self.timeline(lambda index: None)
        aliased = name.endswith(_ALIASED)
        return self.timeline(
            lambda index: (
                any(_present(changes, index) for changes in found) or self._absent(aliased, index)
            )
        )

    def uses_of(self, what: str) -> Timeline:
        """Return the releases whose source imports ``what``, or calls it: "package.name(keyword)"."""
        changes = self.uses.get(what, ())
        return self.timeline(lambda index: _present(changes, index))

    def homes(self, name: str, index: int) -> tuple[str, ...]:
        """Return the modules that have a name in a release: the package itself, then where it is defined."""
        found = [
            module
            for module, names in self._names.items()
            if name in names and _present(names[name], index)
        ]
        defined = {
            module for module in found if f"{module}.{name}" in {*self.functions, *self.classes}
        }
        return tuple(
            sorted(
                found,
                key=lambda each: (each != self.package, each not in defined, each.count("."), each),
            )
        )

    def paths(self, name: str) -> tuple[str, ...]:
        """Return the paths of the classes and functions with this last name."""
        return self._by_name.get(name, ())

    @functools.cached_property
    def _by_name(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for path in (*self.classes, *self.functions):
            name = path.rpartition(".")[2]
            found[name] = (*found.get(name, ()), path)
        return found

    def exists(self, path: str, index: int) -> bool:
        """Return whether a class or function is defined at this path in a release."""
        if path in self.classes:
            return _value(self.classes[path]["bases"], index) is not None
        return _value(self.functions.get(path, ()), index) is not None

    def function(self, path: str, index: int) -> Signature | bool | None:
        """Return a function's signature in a release; False if it is not there, None if unknown."""
        text = _value(self.functions.get(path, ()), index)
        return False if text is None else parse(text)

    def names(self, module: str, index: int) -> tuple[str, ...]:
        """Return the names that a module has in a release."""
        return tuple(name for name, at in self._in(module).items() if _present(at, index))

    def modules(self, last: str, index: int) -> tuple[str, ...]:
        """Return the modules of a release whose last part is ``last``."""
        return tuple(
            module
            for module, changes in self._modules.items()
            if module.rpartition(".")[2] == last and _present(changes, index)
        )

    def is_public(self, name: str) -> bool:
        """Return whether any release exports a name from the package itself."""
        return name in self._names.get(self.package, ())

    def has_model_class(self, name: str) -> bool:
        """Return whether a name is, or was, a class of one of transformers' models."""
        return self.package == "transformers" and self.is_public(name) and not self.paths(name)

    def _in(self, module: str) -> Mapping[str, list[int]]:
        if f"{module}.".startswith(MODELS) and module not in self._names:
            found: Mapping[str, list[int]] = self._models().get(module, {})
            return found
        return self._names.get(module, {})


Environment = Mapping[str, int]
"""The index of the release of each package; packages whose version is unknown are missing."""


def environment(installed: Mapping[str, str]) -> dict[str, int]:
    """Return the release that stands for each installed version."""
    found = {}
    for package in PACKAGES:
        if package in installed and (at := indices(history(package).releases, installed[package])):
            # Between two releases: a pre-release is like the release that it precedes.
            later = Version(installed[package]).is_prerelease
            found[package] = at[-1] if later else at[0]
    return found


def method(path: str, name: str, where: Environment) -> Method | bool | None:
    """Return a method as a class inherits it; False if it has none, None if the source does not tell."""
    return _method(path, name, where)


def _method(path: str, name: str, where: Environment, depth: int = 0) -> Method | bool | None:
    if path.startswith(_PLAIN):
        return False
    found = _class(path, where)
    if found is None or depth > 12:
        return None
    entry, index = found
    bases = _value(entry["bases"], index)
    if bases is None:
        return False
    *parents, known = _bases(bases)
    own = _value(entry.get("methods", {}).get(name, ()), index)
    if own is not None:
        path = _canonical(path, where) or path
        return Method(path, parse(own) if known or name != "__init__" else None)
    if name == "__init__":
        if not known:
            return Method(path, None)
        if _value(entry.get("fields", ()), index) is not None:
            fields = dataclass_fields(path, where)
            return Method(path, None if fields is None else parse(",".join(("self", *fields))))
    unknown = False
    for parent in parents:
        result = _method(parent, name, where, depth + 1)
        if isinstance(result, Method):
            return None if unknown else result
        unknown |= result is None
    return None if unknown else False


def dataclass_fields(path: str, where: Environment) -> tuple[str, ...] | None:
    """Return the fields of a dataclass as parameters, with those that it inherits; None if unknown."""
    found = _class(path, where)
    if found is None:
        return None
    entry, index = found
    bases = _value(entry["bases"], index)
    if bases is None:
        return None
    *parents, _ = _bases(bases)
    fields: dict[str, str] = {}
    for parent in reversed(parents):
        if not parent.startswith(_PLAIN):
            inherited = dataclass_fields(parent, where)
            if inherited is None:
                return None
            fields.update({each.removesuffix("="): each for each in inherited})
    own = _value(entry.get("fields", ()), index) or ""
    fields.update({each.removesuffix("="): each for each in filter(None, own.split(","))})
    return tuple(fields.values())


def has_attribute(path: str, name: str, where: Environment, depth: int = 0) -> bool | None:
    """Return whether instances of a class have an attribute or method; None if the source does not tell."""
    if path.startswith(_PLAIN):
        return False
    found = _class(path, where)
    if found is None or depth > 12:
        return None
    entry, index = found
    bases = _value(entry["bases"], index)
    if bases is None:
        return False
    methods = entry.get("methods", {})
    if _present(entry.get("attributes", {}).get(name, ()), index) or (
        _value(methods.get(name, ()), index) is not None
    ):
        return True
    dynamic = entry.get("open") or any(
        _value(methods.get(each, ()), index) is not None
        for each in ("__getattr__", "__getattribute__")
    )
    states = {has_attribute(parent, name, where, depth + 1) for parent in _bases(bases)[:-1]}
    if True in states:
        return True
    return None if dynamic or None in states else False


def attributes(path: str, where: Environment) -> tuple[str, ...]:
    """Return the attributes and methods of a class that its source shows, with those it inherits."""
    result: dict[str, None] = {}
    for each in ancestors(path, where):
        found = _class(each, where)
        if found:
            entry, index = found
            result.update(
                {n: None for n, at in entry.get("attributes", {}).items() if _present(at, index)}
            )
            methods = entry.get("methods", {}).items()
            result.update({n: None for n, at in methods if _value(at, index) is not None})
    return tuple(result)


def ancestors(path: str, where: Environment) -> tuple[str, ...]:
    """Return a class and those that it inherits from, as far as the data knows them."""
    found = _class(path, where)
    if found is None:
        return ()
    entry, index = found
    bases = _value(entry["bases"], index)
    if bases is None:
        return ()
    result: dict[str, None] = {_canonical(path, where) or path: None}
    for parent in _bases(bases)[:-1]:
        result.update(dict.fromkeys(ancestors(parent, where)))
    return tuple(result)


@functools.cache
def renames() -> tuple[Rename, ...]:
    """Return the hand-kept replacements."""
    text = _FOLDER.joinpath("renames.toml").read_text("utf-8")
    return tuple(
        Rename(
            each["package"], each["what"], each.get("now", ""), tuple(each.get("do", ())),
            each.get("why", ""), each["link"],
        )
        for each in tomllib.loads(text)["rename"]
    )  # fmt: skip


@functools.cache
def history(package: str) -> History:
    """Return the history of one of ``PACKAGES``."""
    return History(_load(package), lambda: _load("transformers_models"))


@functools.cache
def _load(name: str) -> Any:
    return json.loads(gzip.decompress(_FOLDER.joinpath(f"{name}.json.gz").read_bytes()))


_PLAIN = ("?.ABC", "abc.ABC", "typing.Generic", "?.object", "typing.Protocol")


def _bases(text: str) -> list[Any]:
    """Return the base classes, and behind them whether calling the class is known."""
    parts = text.split()
    known = parts[-1:] != ["?"]
    return [*(parts if known else parts[:-1]), known]


def _class(path: str, where: Environment) -> tuple[Mapping[str, Any], int] | None:
    """Return a class's entry and the index of its package's release, None if either is unknown."""
    found = _canonical(path, where)
    if found is None:
        return None
    package = found.partition(".")[0]
    return history(package).classes[found], where[package]


def _canonical(path: str, where: Environment) -> str | None:
    """Return the path at which a class is defined, None if it is unknown."""
    package = path.partition(".")[0]
    if package not in PACKAGES or package not in where:
        return None
    known, index = history(package), where[package]
    if path in known.classes:
        return path
    # As another package imports it: transformers.Trainer.
    found = [
        each
        for each in known.paths(path.rpartition(".")[2])
        if each in known.classes and known.exists(each, index)
    ]
    return found[0] if len(found) == 1 else None


def _present(changes: Sequence[int], index: int) -> bool:
    return bisect.bisect_right(changes, index) % 2 == 1


def _value(changes: Sequence[Any], index: int) -> Any:
    """Return the value at an index from pairs of index and value."""
    value = None
    for at in range(0, len(changes), 2):
        if changes[at] > index:
            break
        value = changes[at + 1]
    return value
