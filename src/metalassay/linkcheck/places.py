"""Where an environment keeps its packages: asked of its interpreter, or a folder that has them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from metalassay import safe_path
from metalassay.errors import UserError, reason
from metalassay.fields import FieldError, parse_json
from metalassay.files import content
from metalassay.linkcheck.source import STACK

_ASK = f"{safe_path.DROP}import json; print(json.dumps(sys.path))"
_NEXT = "name a folder or an interpreter, as in: metalassay link --env .venv"
_MOST = 16 * 2**20  # bytes of a file of metadata; the RECORD of torch has one and a half million
OTHERS = ("torch", "numpy", "pyarrow", "fsspec")
"""Packages that are not checked, but that others require."""


@dataclass(frozen=True)
class Installed:
    """An installed package of the stack: its version, the folder that it is in, and a stamp.

    The stamp changes when it is installed again; it is empty where the files may be edited in place.
    """

    name: str
    version: str
    folder: Path | None
    stamp: str


def search_path(place: str) -> tuple[Path, ...]:
    """Return the folders in which an environment looks for packages.

    ``place`` is an interpreter, the folder of a virtual environment, or a folder of packages. Raises
    ``UserError`` for anything else.
    """
    if not place.strip():  # Path("") would be the working directory
        raise UserError("no environment is named: the name is empty", _NEXT)
    folder = Path(place)
    if folder.is_dir():
        for name in ("bin/python", "bin/python3", "Scripts/python.exe"):
            if (folder / name).is_file():
                return _asked(str(folder / name))
        if any((folder / name).is_dir() for name in STACK):
            return (folder,)
        raise UserError(
            f"{place}: neither an environment nor a folder with packages of the stack", _NEXT
        )
    return _asked(place)


def _asked(python: str) -> tuple[Path, ...]:
    try:
        answer = subprocess.run(  # noqa: S603  (the user's own interpreter, no shell)
            [python, "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=True,
        )
        found = parse_json(answer.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        why = " ".join(last) or f"exit code {error.returncode}"
        raise UserError(f"{python}: does not run as a Python interpreter: {why}", _NEXT) from None
    except (OSError, subprocess.SubprocessError, FieldError, IndexError) as error:
        raise UserError(
            f"{python}: does not run as a Python interpreter: {reason(error)}", _NEXT
        ) from None
    return tuple(Path(each) for each in found if Path(each).is_dir())


def installed(path: Sequence[Path]) -> Mapping[str, Installed]:
    """Return the packages of the stack below some folders, by their names on the package index.

    One whose metadata cannot be read is left out.
    """
    found: dict[str, Installed] = {}
    wanted = {str(canonicalize_name(each)): each for each in (*STACK, *OTHERS)}
    for folder in path:
        for name, metadata in _metadata(folder):
            if name not in wanted or name in found:
                continue
            if version := _version(metadata):
                package = wanted[name]
                stamp = _stamp(metadata, package)
                found[name] = Installed(name, version, _folder(path, package), stamp)
    return {name: found[name] for name in wanted if name in found}


def _metadata(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names of the packages that a folder has, each with the place of its metadata."""
    try:
        names = [each.name for each in folder.iterdir()]
    except OSError:
        return
    for each in names:
        stem, _, ending = each.rpartition(".")
        if ending in ("dist-info", "egg-info"):
            yield str(canonicalize_name(stem.partition("-")[0])), folder / each


def _version(metadata: Path) -> str:
    """Return the version in some metadata, "" where they are missing or damaged."""
    inside = ("METADATA", "PKG-INFO") if metadata.is_dir() else ("",)
    for name in inside:
        try:
            text = content(metadata / name, _MOST).decode()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            return ""
        header = text.replace("\r\n", "\n").partition("\n\n")[0]
        found = re.search(r"^Version:(.*)$", header, re.MULTILINE)
        return found[1].strip() if found else ""
    return ""


def _folder(path: Sequence[Path], package: str) -> Path | None:
    return next((each for each in path if (each / package / "__init__.py").is_file()), None)


def _stamp(metadata: Path, package: str) -> str:
    if '"editable": true' in _text(metadata / "direct_url.json"):
        return ""
    where = metadata.parent / package / "__init__.py"
    record = _text(metadata / "RECORD")
    try:
        return f"{len(record)}:{where.stat().st_mtime_ns}:{where.parent.stat().st_mtime_ns}"
    except OSError:
        return str(len(record))


def _text(path: Path) -> str:
    try:
        return content(path, _MOST).decode("utf-8", "replace")
    except OSError:
        return ""
