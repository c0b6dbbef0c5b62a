"""Where an environment keeps its packages: asked of its interpreter, or a folder that has them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from metalassay import safe_path
from metalassay.errors import UserError, reason
from metalassay.fields import FieldError, parse_json
from metalassay.linkcheck.source import STACK

_ASK = f"{safe_path.DROP}import json; print(json.dumps(sys.path))"
_NEXT = "name a folder or an interpreter, as in: metalassay link --env .venv"
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
    """Return the packages of the stack below some folders, by their names on the package index."""
    found: dict[str, Installed] = {}
    wanted = {str(canonicalize_name(each)): each for each in (*STACK, *OTHERS)}
    folders = [str(folder) for folder in path]
    for name, package in wanted.items():
        for each in metadata.distributions(name=name, path=folders):
            try:
                version = each.version
            except (KeyError, TypeError, UnicodeDecodeError, OSError):  # damaged metadata
                continue
            if version:
                found[name] = Installed(name, version, _folder(path, package), _stamp(each))
                break
    return found


def _folder(path: Sequence[Path], package: str) -> Path | None:
    return next((each for each in path if (each / package / "__init__.py").is_file()), None)


def _stamp(found: metadata.Distribution) -> str:
    if '"editable": true' in (found.read_text("direct_url.json") or ""):
        return ""
    where = Path(str(found.locate_file(f"{found.metadata['Name'].replace('-', '_')}/__init__.py")))
    record = found.read_text("RECORD") or ""
    try:
        return f"{len(record)}:{where.stat().st_mtime_ns}:{where.parent.stat().st_mtime_ns}"
    except OSError:
        return str(len(record))
