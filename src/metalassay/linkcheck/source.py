"""The source of one release of a package: its modules, and where each name is defined."""

from __future__ import annotations

import functools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metalassay.linkcheck import module_reader
from metalassay.linkcheck.uses import Class, Module, Use

STACK = (
    "accelerate", "transformers", "trl", "peft", "datasets", "huggingface_hub", "tokenizers",
    "safetensors",
)  # fmt: skip
"""The import names of the packages that are checked against each other."""

# Not read: model code hardly touches the other packages and is four fifths of transformers.
_LEFT_OUT = ("transformers/models/", "/tests/", "/test_utils/", "testing_utils.py", "/commands/")
_KEPT = ("transformers/models/auto/", "transformers/models/__init__.py")


@dataclass
class Package:
    """One release, or one installed package, read from its source."""

    name: str
    modules: Mapping[str, Module]

    @functools.cached_property
    def _homes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the modules that define each name."""
        found: dict[str, tuple[str, ...]] = {}
        for module in self.modules.values():
            for name in module.defined:
                found[name] = (*found.get(name, ()), module.name)
        return found

    @functools.cached_property
    def _resolved(self) -> dict[str, str]:
        return {}

    def resolve(self, path: str, depth: int = 0) -> str:
        """Return the dotted path at which something of this package is defined.

        A path of another package, or one that leads nowhere, is returned as it is.
        """
        if path in self._resolved:
            return self._resolved[path]
        result = path
        if path.partition(".")[0] == self.name and path not in self.modules and depth < 12:
            parts = path.split(".")
            for at in range(len(parts) - 1, 0, -1):
                module = self.modules.get(".".join(parts[:at]))
                if module is not None:
                    result = self._in(module, parts[at], parts[at + 1 :], path, depth)
                    break
        self._resolved[path] = result
        return result

    def _in(self, module: Module, name: str, rest: list[str], path: str, depth: int) -> str:
        if name in module.defined:
            return path
        target = module.names.get(name, "")
        if not target or target == f"{module.name}.{name}":
            below = [
                home for home in self._homes.get(name, ()) if home.startswith(f"{module.name}.")
            ]
            if len(below) != 1:
                return path
            target = f"{below[0]}.{name}"
        return self.resolve(".".join([target, *rest]), depth + 1)

    def class_at(self, path: str) -> Class | None:
        """Return the class at a resolved path."""
        module, _, name = self.resolve(path).rpartition(".")
        found = self.modules.get(module)
        return found.classes.get(name) if found else None

    def bases(self, path: str) -> Iterator[str]:
        """Yield the resolved paths of the classes above a class, while each has one base alone."""
        for _ in range(12):
            found = self.class_at(path)
            if found is None or len(found.bases) != 1:
                return
            path = self.resolve(found.bases[0])
            yield path

    def foreign_base(self, path: str) -> str:
        """Return the first class of another package above a class, else nothing."""
        above = (each for each in self.bases(path) if each.partition(".")[0] != self.name)
        return next(above, "")

    def uses(self) -> Iterator[Use]:
        """Yield what the package uses of others; what it inherits within itself is followed."""
        for module in self.modules.values():
            fields = self._fields
            for use in module.uses:
                options = use.kind == "attribute" and use.target.endswith(".TrainingArguments")
                if options and use.member in fields:  # a class of its own below it may have that
                    continue
                if use.target.partition(".")[0] != self.name:
                    yield use
                elif use.member and (found := self._inherited(use)):
                    yield found

    def _inherited(self, use: Use) -> Use | None:
        """Return a use of an own class as one of the class of another package above it."""
        path = self.resolve(use.target)
        while path.partition(".")[0] == self.name:
            found = self.class_at(path)
            if found is None or len(found.bases) != 1:
                return None
            own = {*found.methods, *found.attributes}
            if use.member in own and use.kind != "override":
                return None
            path = self.resolve(found.bases[0])
        return replace(use, target=path) if path.partition(".")[0] in STACK else None

    @functools.cached_property
    def _fields(self) -> frozenset[str]:
        return frozenset(
            name
            for module in self.modules.values()
            for each in module.classes.values()
            for name in {*each.attributes, *each.methods}
        )


def files(place: Path, package: str) -> Iterator[tuple[str, int, str]]:
    """Yield path, checksum and text of a package's files, from a wheel or from a folder of packages."""
    if place.is_file():
        with zipfile.ZipFile(place) as archive:
            for entry in archive.infolist():
                if _is_read(entry.filename, package):
                    text = archive.read(entry).decode("utf-8", "replace")
                    yield entry.filename, entry.CRC, text
        return
    for path in sorted((place / package).rglob("*.py")):
        name = path.relative_to(place).as_posix()
        if _is_read(name, package):
            text = path.read_text("utf-8", "replace")
            yield name, hash(text), text


def imports_any(place: Path, package: str, others: Iterable[str]) -> bool:
    """Return whether a package has a line that imports one of some others; it is not parsed."""
    names = "|".join(each for each in others if each != package)
    line = re.compile(rf"^\s*(?:from|import) (?:{names})\b", re.MULTILINE)
    return bool(names) and any(line.search(text) for _, _, text in files(place, package))


def _is_read(name: str, package: str) -> bool:
    if not name.startswith(f"{package}/") or not name.endswith(".py"):
        return False
    return name.startswith(_KEPT) or not any(part in name for part in _LEFT_OUT)


def read(
    content: Iterable[tuple[str, int, str]],
    package: str,
    kept: dict[tuple[str, int], Module] | None = None,
) -> Package:
    """Read a package; ``kept`` has modules already read, by path and checksum, and is added to."""
    kept = {} if kept is None else kept
    providers = [each for each in STACK if each != package]
    modules = {}
    for path, checksum, text in content:
        name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if (path, checksum) not in kept:
            try:
                kept[path, checksum] = module_reader.read(text, name, path, providers)
            except SyntaxError:  # a template, or written for a newer Python
                continue
        modules[name] = kept[path, checksum]
    return Package(package, modules)
