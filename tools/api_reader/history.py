"""Merge the releases of a package into one compact history.

``changes`` are indices into the list of releases. Where something merely exists or not, they alternate:
``[3, 9]`` is there from release 3 up to, not including, release 9; ``[3]`` still is. Where it has a value,
they are pairs of the index and the value from there on, None where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from api_reader.release import Release, has_details
from api_reader.source import Class, Function

Value = TypeVar("Value", bound=Hashable)

_TRACKED = ("accelerate", "transformers", "trl", "peft", "datasets")


def merge(releases: Sequence[Release]) -> dict[str, Any]:
    """Return the history of a package; ``releases`` are in the order of their versions."""
    names: dict[str, Any] = {}
    surfaces = [_surface(release) for release in releases]
    modules = _presence([release.modules for release in releases])
    for module in modules:
        listed = _presence([surface.names.get(module, {}) for surface in surfaces])
        if not has_details(module):
            listed = {name: listed[name] for name in _own_names(module, releases) & listed.keys()}
        else:
            shown = {name for surface in surfaces for name in surface.own.get(module, ())}
            listed = {name: changes for name, changes in listed.items() if name in shown}
        if listed:
            names[module] = listed
    return {
        "package": releases[0].package,
        "releases": [release.version for release in releases],
        "modules": modules,
        "dynamic": sorted(
            {
                module
                for release in releases
                for module, content in release.modules.items()
                if content.dynamic
            }
        ),
        "names": names,
        "functions": _values([surface.functions for surface in surfaces]),
        "classes": _classes([surface.classes for surface in surfaces]),
        "uses": _presence([surface.uses for surface in surfaces]),
    }


def _own_names(module: str, releases: Sequence[Release]) -> set[str]:
    """Return what a model's module defines in some release, but for what nobody imports.

    A model's package shows what its modules define, and is left out. So are conversion scripts.
    """
    found: set[str] = set()
    last = module.rpartition(".")[2]
    if last.startswith("convert_"):
        return found
    for release in releases:
        content = release.modules.get(module)
        for name, value in (content.names if content else {}).items():
            if isinstance(value, Function | Class) or (value is None and "ARCHIVE" in name):
                found.add(name)
    return found


class _Surface:
    """What one release has, in the form that is compared with the next."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, None]] = {}
        self.own: dict[str, set[str]] = {}  # without what comes from Python's own library
        self.functions: dict[str, str] = {}
        self.classes: dict[str, Class] = {}
        self.uses: dict[str, None] = {}


def _surface(release: Release) -> _Surface:
    surface = _Surface()
    for module, content in sorted(release.modules.items()):
        if ".dummy_" in module:
            continue
        names = release.names(module)
        surface.names[module] = dict.fromkeys(sorted(names))
        surface.own[module] = names.keys() - release.standard(module)
        if not has_details(module):
            continue
        for name, value in content.names.items():
            if isinstance(value, Function):
                surface.functions[f"{module}.{name}"] = text(value)
            elif isinstance(value, Class):
                bases = [release.base(module, base) for base in value.bases]
                surface.classes[f"{module}.{name}"] = Class(
                    [base for base in bases if base != "?.object"],
                    value.methods, value.fields, value.attributes, value.known, value.open,
                )  # fmt: skip
        surface.uses.update(dict.fromkeys(_uses(release, module)))
    return surface


def _uses(release: Release, module: str) -> Iterable[str]:
    content = release.modules[module]
    for target, name in content.imports.values():
        if name != "*":
            yield f"{target}.{name}"
    for owner, function, keyword in content.calls:
        if not owner:
            target, name = content.imports[function]
            yield f"{target}.{name}({keyword})"
            continue
        value = content.names.get(owner)
        if isinstance(value, Class) and value.bases:
            base = release.base(module, value.bases[0])
            root = base.partition(".")[0]
            if root in _TRACKED and root != release.package:
                yield f"{base}.{function}({keyword})"


def text(value: Function) -> str:
    """Write a function in the form of the data: signature, names taken, deprecated names."""
    if not value.known:
        return "?"
    if not value.renamed:
        return value.signature
    signature = value.signature + ("" if ";" in value.signature else ";")
    return signature + ";" + ",".join(f"{old}>{new}" for old, new in sorted(value.renamed.items()))


def _classes(surfaces: Sequence[Mapping[str, Class]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted({name for surface in surfaces for name in surface}):
        here = [surface.get(name) for surface in surfaces]

        def values(of: Callable[[Class], Value], here: list[Class | None] = here) -> list[Any]:
            return _changes([None if each is None else of(each) for each in here])

        entry: dict[str, Any] = {
            "bases": values(lambda each: " ".join(each.bases) + ("" if each.known else " ?")),
            "methods": _values(
                [{m: text(f) for m, f in each.methods.items()} if each else {} for each in here]
            ),
            "attributes": _presence(
                [dict.fromkeys(each.attributes) if each else {} for each in here]
            ),
        }
        if any(each and each.fields is not None for each in here):
            entry["fields"] = values(
                lambda each: None if each.fields is None else ",".join(each.fields)
            )
        if any(each and each.open for each in here):
            entry["open"] = True
        found[name] = {key: value for key, value in entry.items() if value}
    return found


def _values(surfaces: Sequence[Mapping[str, str]]) -> dict[str, list[Any]]:
    names = sorted({name for surface in surfaces for name in surface})
    return {name: _changes([surface.get(name) for surface in surfaces]) for name in names}


def _changes(values: Sequence[Value | None]) -> list[Any]:
    changes: list[Any] = []
    last: Value | None = None
    for index, value in enumerate(values):
        if value != last:
            changes += [index, value]
            last = value
    return changes


def _presence(surfaces: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    found = {}
    for name in sorted({name for surface in surfaces for name in surface}):
        changes, there = [], False
        for index, surface in enumerate(surfaces):
            if (name in surface) != there:
                there = not there
                changes.append(index)
        found[name] = changes
    return found
