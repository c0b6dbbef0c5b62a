"""The versions that a lock file has: uv.lock, poetry.lock, pdm.lock and Pipfile.lock."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from metalassay import files
from metalassay.errors import UserError, reason
from metalassay.fields import Field, FieldError, parse_json

NAMES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
"""The lock files that can be read."""

# A lock file of a large project takes a second to parse as TOML; these two lines are all it is read for.
_PACKAGE = re.compile(
    r'^\[\[package\]\]\s*^name = "([^"\n]+)"\s*^version = "([^"\n]+)"', re.MULTILINE
)


def versions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the versions of each package in a lock file, by its name on the index.

    There are several where the lock file decides by platform. Raises ``UserError`` for a file that
    cannot be read, or has no package.
    """
    try:
        text = files.content(path).decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text", _NEXT) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}", _NEXT) from None
    pairs = _pipfile(text, path) if path.name == "Pipfile.lock" else _PACKAGE.findall(text)
    found: dict[str, list[str]] = {}
    for name, version in pairs:
        found.setdefault(re.sub("[-_.]+", "-", name).lower(), []).append(version)
    if not found:
        raise UserError(f"{path}: no package is locked in it", _NEXT)
    return {name: tuple(dict.fromkeys(several)) for name, several in found.items()}


def pinned(path: Path | None, packages: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the locked versions of those ``packages``; none where there is no file to read."""
    if path is None or path.name not in NAMES:
        return {}
    try:
        return {name: each for name, each in versions(path).items() if name in packages}
    except UserError:
        return {}


_NEXT = "name a lock file that uv, poetry, pdm or pipenv wrote"


def _pipfile(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        default = Field(parse_json(text), path.name).get("default")
        if not isinstance(default.value, dict):
            raise default.wrong("an object")
        rows = {name: default.get(name).find("version") for name in default.value}
        return [(name, row.name().removeprefix("==")) for name, row in rows.items() if row.value]
    except FieldError as error:
        raise UserError(f"{path} is no lock file: {reason(error)}", _NEXT) from None
