"""One cell: what a release uses of other packages, and which of their releases are without it."""

from __future__ import annotations

import email
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metalassay.bugs.api_history import Timeline
from metalassay.linkcheck import floors, guards, judge, overrides, returns, source
from metalassay.linkcheck.reach import Reach
from metalassay.linkcheck.requirements import EXTRAS
from metalassay.linkcheck.source import Package
from metalassay.linkcheck.uses import Use

# Of these classes, how they call their own methods is kept: others are hardly ever overridden elsewhere.
_BASES = (
    "transformers.trainer.",
    "transformers.trainer_",
    "transformers.training_args",
    "peft.peft_model.",
    "transformers.data.",
)
_NAMED = frozenset(
    {*source.STACK, "huggingface-hub", "torch", "numpy", "python", "pyarrow", "fsspec", "safetensors", "tokenizers"}
)  # fmt: skip


def read(wheel: Path, package: str, version: str, kept: dict[Any, Any]) -> dict[str, Any]:
    """Return a cell; ``kept`` keeps modules from one release of the package to the next."""
    content = source.read(source.files(wheel, package), package, kept)
    reach = Reach(content)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        found_floors = floors.read(
            package, lambda path: archive.read(path).decode() if path in names else ""
        )
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        requires = list(_requires(package, text))
        needed = _needed(text)
    shapes = overrides.shapes(content, reach)
    return {
        "package": package,
        "version": version,
        "requires": requires,
        "floors": [f"{each.entry} {each.requirement}" for each in found_floors],
        "tuples": sorted(
            f"{module.name}.{name}" for module in content.modules.values() for name in module.tuples
        ),
        "shapes": {
            path: {
                name: [
                    [s.positional, list(s.keywords), s.callback, s.inside, s.entry, s.strength]
                    for s in each
                ]
                for name, each in methods.items()
            }
            for path, methods in shapes.items()
            if path.startswith(_BASES)
        },
        "above": {path: list(content.bases(path)) for path in shapes if path.startswith(_BASES)},
        "found": list(_found(content, reach)),
        "overrides": list(_overrides(content, reach)),
        "truths": [each for each in _truths(content, reach) if each[1] not in needed],
    }


def _requires(package: str, text: str) -> Iterator[str]:
    found = email.message_from_string(text)
    if python := found["Requires-Python"]:
        yield f"python{python}".replace(" ", "")
    for line in found.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in _NAMED or name == package:
            continue
        marker = str(requirement.marker or "")
        if "extra" in marker:
            extra = next(
                (each for each in EXTRAS.get(package, ()) if f'extra == "{each}"' == marker), ""
            )
            if not extra or not requirement.specifier:
                continue
            yield f'{name}{requirement.specifier}; extra == "{extra}"'
        elif requirement.specifier and not marker:
            yield f"{name}{requirement.specifier}"


def _needed(text: str) -> set[str]:
    """Return the import names of the packages that every install brings."""
    lines = email.message_from_string(text).get_all("Requires-Dist", [])
    found = (Requirement(line) for line in lines)
    return {each.name.replace("-", "_") for each in found if "extra" not in str(each.marker or "")}


def _place(use: Use, package: Package) -> str:
    return f"{package.modules[use.module].path}:{use.line}"


def _spans(timeline: Timeline, state: bool) -> list[list[int]]:
    found: list[list[int]] = []
    for index, each in enumerate(timeline.states):
        if each is state:
            if found and found[-1][1] == index - 1:
                found[-1][1] = index
            else:
                found.append([index, index])
    return found


def _found(package: Package, reach: Reach) -> Iterator[dict[str, Any]]:
    """Yield what the API history finds, a name once in a module, at the place that is reached most surely."""
    best: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
    for use in package.uses():
        for finding in judge.findings(use):
            kind = finding.kind if finding.kind in ("import", "attribute") else "call"
            where = reach.of(use.module, use.function, use.conditions, kind)
            guarded = guards.is_guarded(use.conditions, kind)
            bad = _spans(finding.has, False)
            key = (finding.kind, finding.what, use.module)
            rank = where.strength * 2 + (not guarded)
            if key in best and best[key][0] >= rank:
                continue
            best[key] = (
                rank,
                {
                    "kind": finding.kind,
                    "what": finding.what,
                    "where": _place(use, package),
                    "entry": where.entry,
                    "strength": where.strength,
                    "guarded": guarded,
                    "bad": bad,
                    "has": _spans(finding.has, True),
                },
            )
    yield from (row for _, row in best.values())


def _overrides(package: Package, reach: Reach) -> Iterator[list[Any]]:
    """Yield the methods that override one of a class whose calls are kept, with the entry of their class."""
    for module in package.modules.values():
        for own in module.classes.values():
            path = f"{module.name}.{own.name}"
            base = package.foreign_base(path)
            if not base.startswith(("transformers.", "peft.")):
                continue
            entries = [each for each in reach.entries(f"{path}.__init__") if each != "import"]
            replaced = sorted(overrides.replaced(package, path))
            for name, signature in own.methods.items():
                if name.startswith("__"):
                    continue
                where = f"{module.path}:{own.lines[name]}"
                yield [base, name, signature, path, where, entries, replaced]


def _truths(package: Package, reach: Reach) -> Iterator[list[str]]:
    for use in package.uses():
        if returns.asked(use) and not guards.is_guarded(use.conditions, "call"):
            entry = returns.entry_of(use, package, reach)
            if entry:
                yield [use.target, use.member, _place(use, package), entry]
