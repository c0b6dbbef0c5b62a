"""What a file asks for: requirements.txt, pyproject.toml, or a lock file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from metalassay import files
from metalassay.environment import lock_files
from metalassay.errors import UserError, reason
from metalassay.fields import printable

_NEXT = "name a requirements.txt, a pyproject.toml, or a lock file of uv, poetry, pdm or pipenv"
_MOST_BYTES = 20_000_000
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]\s*(\S.*)")
_DIRECT = re.compile(r"(-e\b|--editable\b|\.|/|[\w+]+://|[A-Za-z]:\\)|.*\.(whl|tar\.gz|zip)$")


@dataclass(frozen=True)
class Wanted:
    """What a file asks for.

    ``requirements`` are to be resolved; a lock file has ``versions`` instead. ``left_out`` names what
    no index can answer: folders, archives and repositories.
    """

    requirements: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read(path: Path) -> Wanted:
    """Read a file. Raises ``UserError`` with the place of what cannot be understood."""
    if path.is_dir():
        inside = ("pyproject.toml", "requirements.txt", *lock_files.NAMES)
        there = next((name for name in inside if (path / name).is_file()), None)
        raise UserError(
            f"{path} is a folder", f"name a file in it: {path / there}" if there else _NEXT
        )
    if path.name in lock_files.NAMES:
        found = lock_files.versions(path)
        return Wanted(versions={name: max(each, key=_order) for name, each in found.items()})
    wanted = _pyproject(path) if path.suffix == ".toml" else _lines(path)
    if not wanted.requirements:
        raise UserError(f"{path}: no requirement is in it that an index could answer", _NEXT)
    return wanted


def _order(version: str) -> tuple[bool, Version]:
    try:
        return (True, Version(version))
    except ValueError:
        return (False, Version("0"))


def _text(path: Path) -> str:
    try:
        text = files.content(path, _MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text", _NEXT) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}", _NEXT) from None
    if "\x00" in text:
        raise UserError(f"{path} is not text", _NEXT)
    return text


def _lines(path: Path) -> Wanted:
    requirements: list[str] = []
    constraints: list[Requirement] = []
    left_out: list[str] = []
    for place, line, constrains in _included(path, [], constrains=False):
        if line.startswith("-") and not line.startswith(("-e", "--editable")):
            continue  # an option of pip: an index, hashes, what may be built
        if _DIRECT.match(line):
            left_out.append(_shown(line))
            continue
        requirement = _parsed(line, place)
        if requirement.url:
            left_out.append(requirement.name)
        elif constrains:
            constraints.append(requirement)
        else:
            requirements.append(str(requirement))
    # A constraint asks for nothing by itself, but what is asked for in general needs some of these.
    return Wanted(
        (*requirements, *map(str, constraints)) if requirements else (), {}, tuple(left_out)
    )


def _included(path: Path, above: list[str], *, constrains: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield the place and the text of every logical line of a requirements.txt and what it includes."""
    if os.path.realpath(path) in above:
        return  # it includes itself: pip reads it once
    above.append(os.path.realpath(path))
    text = re.sub(r"\\\r?\n", " ", _text(path))
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        line = re.sub(r"\s--(hash|global-option|config-settings?)[=\s]\S+", "", line).strip()
        if not line:
            continue
        include = _INCLUDE.fullmatch(line)
        if include is None:
            yield f"{path.name}:{number}", line, constrains
        elif "://" not in include[2]:
            inner = path.parent / include[2].strip("\"' ")
            yield from _included(
                inner, above, constrains=constrains or include[1] in ("-c", "--constraint")
            )


def _parsed(text: str, place: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        shown = printable(text)[:60]
        why = str(error).partition("\n")[0]
        raise UserError(f"{place}: {shown!r} is no requirement: {why}", _NEXT) from None


def _shown(line: str) -> str:
    """Return a name for what is left out; an address may have a password in it."""
    egg = re.search(r"[#&]egg=([\w.-]+)", line)
    return egg[1] if egg else re.split(r"[/\\]", re.sub(r"[?#].*", "", line.rstrip("/")))[-1][:40]


def _pyproject(path: Path) -> Wanted:
    document = files.read_toml(path, _NEXT, most=_MOST_BYTES)
    texts = _at(document, "project", "dependencies")
    requirements, left_out = [], []
    if isinstance(texts, list):
        for text in texts:
            requirement = _parsed(str(text), f"{path.name}: [project] dependencies")
            if requirement.url:
                left_out.append(requirement.name)
            else:
                requirements.append(str(requirement))
    poetry = _at(document, "tool", "poetry", "dependencies")
    if isinstance(poetry, dict):
        for name, wanted in poetry.items():
            if name.lower() == "python":
                continue
            version = wanted.get("version") if isinstance(wanted, dict) else wanted
            if isinstance(wanted, dict) and wanted.get("optional"):
                continue
            if isinstance(version, str):
                text = name + _poetry(version)
                place = f"{path.name}: [tool.poetry.dependencies]"
                requirements.append(str(_parsed(text, place)))
            else:
                left_out.append(name)
    return Wanted(tuple(requirements), {}, tuple(left_out))


def _at(document: Any, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _poetry(constraint: str) -> str:
    """Return a constraint of Poetry as PEP 440 has it: ``^1.2`` is ``>=1.2,<2``."""
    return ",".join(
        filter(None, map(_poetry_part, re.split(r"\s*,\s*|\s+(?=[<>=!^~])", constraint.strip())))
    )


def _poetry_part(part: str) -> str:
    match = re.fullmatch(r"(\^|~(?!=))\s*v?(\d+(?:\.\d+)*)(.*)", part)
    if match is None:
        if part in ("", "*"):
            return ""
        return part if part[0] in "<>=!~" else f"=={part}"
    numbers = [int(number) for number in match[2].split(".")]
    if match[1] == "~":
        upper = numbers[:2] if len(numbers) > 1 else numbers[:1]
    else:  # a caret: the first number that is not 0 stays
        first = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        upper = numbers[: first + 1]
    upper[-1] += 1
    return f">={match[2]}{match[3]},<{'.'.join(map(str, upper))}"
