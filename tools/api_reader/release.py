"""Read a released wheel: its modules, the names that each of them has, and where they are defined."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from api_reader import source
from api_reader.source import Class, Function, Import, Module

Place = tuple[str, str]
"""A module and a name in it; the name is empty for the module itself."""

NAMES_ONLY = ("transformers.models.", "transformers.utils.dummy_")
"""Below these, names are kept and signatures are not, but for ``DETAILED``."""
DETAILED = ("transformers.models.auto.",)
_FORMAT = 6  # change them when source.py reads signatures, or names, otherwise
_NAMES_FORMAT = 3


@dataclass
class Cache:
    """Modules already read, by path and checksum: most files are the same in the next release."""

    path: Path
    modules: dict[tuple[int, str, int], Module] = field(default_factory=dict)
    used: set[tuple[int, str, int]] = field(default_factory=set)
    grown: bool = False

    @classmethod
    def open(cls, path: Path) -> Cache:
        """Load the cache, or begin an empty one. Only this tool writes the file."""
        if not path.exists():
            return cls(path)
        return cls(path, pickle.loads(path.read_bytes()))  # noqa: S301

    def save(self) -> None:
        """Write the cache if it has grown."""
        if self.grown:
            kept = {key: value for key, value in self.modules.items() if key in self.used}
            self.path.write_bytes(pickle.dumps(kept, pickle.HIGHEST_PROTOCOL))
            self.grown = False


@dataclass
class Release:
    """One release of a package."""

    package: str
    version: str
    modules: dict[str, Module]
    scanning: frozenset[str] = frozenset()
    """Lazy packages that export what the modules below them list in ``__all__``."""

    @cached_property
    def _names(self) -> dict[str, dict[str, Place | None]]:
        return {}

    def names(self, module: str) -> dict[str, Place | None]:
        """Return each name that can be imported from a module, and where it is defined.

        None is the place of a name that comes from elsewhere or is a mere value.
        """
        if module not in self._names:
            self._names[module] = {}  # ends a circle of star imports
            found: dict[str, Place | None] = {}
            content = self.modules[module]
            if content.structure is None:
                found.update(self._from_stars(content))
            found.update(self._listed_below(module))
            found.update(self._from_structure(module))
            bound = content.names
            if content.lazy:  # what its own code binds is lost with the module that it replaces
                special = {name: value for name, value in bound.items() if name.startswith("__")}
                typed = content.typed if content.structure is None else {}
                bound = {**typed, **special, "__all__": None}
            for name, value in bound.items():
                if isinstance(value, Import):
                    found[name] = self.place(value)
                elif isinstance(value, Function | Class):
                    found[name] = (module, name)
                else:
                    found[name] = None
            self._names[module] = found
        return self._names[module]

    def _from_stars(self, content: Module) -> dict[str, Place | None]:
        found: dict[str, Place | None] = {}
        for target in content.typed_stars if content.lazy else content.stars:
            if target in self.modules:
                exported = self.modules[target].exported
                if exported is None and not content.lazy:  # what is below it was imported
                    found.update(self._below(target))
                for name, place in self.names(target).items():
                    if name in exported if exported is not None else name[0] != "_":
                        found[name] = place
        return found

    def _from_structure(self, module: str) -> dict[str, Place | None]:
        found: dict[str, Place | None] = {}
        for part, name in self.modules[module].structure or ():
            target = f"{module}.{part}"
            if name != "*":
                found[name] = self.place(Import(target, name))
            elif target in self.modules:  # stand-ins for what needs a package that is missing
                stand_ins = self.names(target).items()
                found.update({each: place for each, place in stand_ins if each[0] != "_"})
        return found

    def standard(self, module: str) -> set[str]:
        """Return the names of a module that it imports from Python's own library."""
        return {
            name
            for name, value in self.modules[module].names.items()
            if isinstance(value, Import) and source.is_standard(value.module)
        }

    def _below(self, package: str) -> dict[str, Place | None]:
        start = f"{package}."
        return {
            path.removeprefix(start): (path, "")
            for path in self.modules
            if path.startswith(start) and path.removeprefix(start).isidentifier()
            if path[len(start)] != "_"
        }

    def _listed_below(self, module: str) -> dict[str, Place | None]:
        if module not in self.scanning:
            return {}
        below = f"{module}.models." if module == self.package else f"{module}."
        return {
            name: self._lookup(path, name)
            for path, content in self.modules.items()
            if path.startswith(below)
            for name in content.exported or ()
        }

    def place(self, value: Import) -> Place | None:
        """Return where an imported name is defined, None if outside this package."""
        if not value.name:
            return (value.module, "") if value.module in self.modules else None
        if value.module not in self.modules:
            return None
        submodule = f"{value.module}.{value.name}"
        return self._lookup(value.module, value.name) or (
            (submodule, "") if submodule in self.modules else None
        )

    def _lookup(self, module: str, name: str, depth: int = 0) -> Place | None:
        content = self.modules.get(module)
        if content is None or depth > 20:
            return None
        for names in (content.names, content.typed if content.lazy else {}):
            if name in names:
                value = names[name]
                if isinstance(value, Import):
                    if not value.name:
                        return (value.module, "") if value.module in self.modules else None
                    return self._lookup(value.module, value.name, depth + 1)
                return (module, name)
        for target in content.stars + (content.typed_stars if content.lazy else []):
            if target in self.modules and (found := self._lookup(target, name, depth + 1)):
                return found
        return None

    def base(self, module: str, expression: str) -> str:
        """Return a base class as ``module.Name`` where it is defined, or as it is imported."""
        first, _, rest = expression.partition(".")
        value = self.modules[module].names.get(first)
        if isinstance(value, Import):
            if rest and not value.name:  # a module: accelerate.Accelerator
                value = Import(f"{value.module}.{rest}".rpartition(".")[0], rest.rpartition(".")[2])
            place = self.place(value)
            if place and place[1]:
                return ".".join(place)
            return f"{value.module}.{value.name}"
        if isinstance(value, Class):
            return f"{module}.{first}"
        place = self.names(module).get(first)
        return ".".join(place) if place and place[1] else f"?.{expression}"


def read(wheel: Path, package: str, version: str, cache: Cache) -> Release:
    """Return the release in a wheel."""
    modules = {}
    scanning = set()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = entry.filename
            if not path.startswith(f"{package}/") or not path.endswith(".py"):
                continue
            module = path.removesuffix(".py").replace("/", ".")
            is_package = module.endswith(".__init__")
            module = module.removesuffix(".__init__")
            key = (_FORMAT if has_details(module) else _NAMES_FORMAT, path, entry.CRC)
            if key not in cache.modules:
                try:
                    text = archive.read(entry).decode("utf-8")
                    content = source.read(text, module, is_package, has_details(module))
                except SyntaxError:  # a template: transformers/commands, the cookiecutters
                    continue
                cache.modules[key] = content
                cache.grown = True
            if is_package and b"define_import_structure(" in archive.read(entry):
                scanning.add(module)
            cache.used.add(key)
            modules[module] = cache.modules[key]
    for old, new in modules[package].aliases.items():
        if f"{package}.{new}" in modules:
            modules.setdefault(f"{package}.{old}", _alias(f"{package}.{new}", modules))
    return Release(package, version, modules, frozenset(scanning))


def _alias(target: str, modules: dict[str, Module]) -> Module:
    """Return a module that has what another has."""
    names: dict[str, Function | Class | Import | None] = {
        name: Import(target, name) for name in modules[target].names
    }
    stars = modules[target].stars
    return Module(names, {}, stars, [], None, False, False, {}, set())


def has_details(module: str) -> bool:
    """Return whether signatures of this module are kept."""
    return not f"{module}.".startswith(NAMES_ONLY) or f"{module}.".startswith(DETAILED)
