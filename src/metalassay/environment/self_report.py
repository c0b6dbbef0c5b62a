"""What a Python says of itself and of its packages: runs inside any Python since 3.8, from its text.

`interpreters` hands the text of this module to the interpreter of another environment, so it takes
the standard library only, and imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path


def report(packages: list[str]) -> dict[str, object]:
    """Return the facts about this interpreter, and every install of those ``packages`` that it finds.

    Installs come in the order in which Python searches: the first of a package is the one in use.
    """
    folders = [Path(folder) for folder in dict.fromkeys(sys.path) if folder]
    return {
        "python": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "stdlib": str(Path(os.__file__).parent),
        "machine": platform.machine(),
        "has_pip": any((folder / "pip").is_dir() for folder in folders),
        "installs": [each for folder in folders for each in _installs(folder, set(packages))],
    }


def versions(packages: list[str]) -> dict[str, str]:
    """Return the version of Python and of each of those ``packages`` that is installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        except UnicodeDecodeError:
            found[name] = "unreadable"
    return found


def _installs(folder: Path, packages: set[str]) -> list[dict[str, str]]:
    try:
        places = sorted(folder.iterdir())
    except OSError:
        return []
    found = []
    for place in places:
        name, _, version = place.stem.partition("-")
        name = re.sub("[-_.]+", "-", name).lower()
        if name not in packages:
            continue
        if place.suffix == ".egg-link":  # what `setup.py develop` left
            source = (_text(place).splitlines() or [""])[0]
            found.append(_install(name, "", folder, "", source))
        elif place.suffix in (".dist-info", ".egg-info") and version:
            if place.suffix == ".egg-info":
                version = version.partition("-py")[0]
            installer = _text(place / "INSTALLER").strip()
            found.append(_install(name, version, folder, installer, _editable(place)))
    return found


def _install(
    name: str, version: str, folder: Path, installer: str, editable: str
) -> dict[str, str]:
    return {
        "name": name,
        "version": version,
        "folder": str(folder),
        "installer": installer,
        "editable": editable,
    }


def _editable(place: Path) -> str:
    """Return where the source of an editable install is; "" for any other install."""
    try:
        origin = json.loads(_text(place / "direct_url.json") or "{}")
        editable = origin.get("dir_info", {}).get("editable")
        return str(origin["url"]) if editable else ""
    except (ValueError, AttributeError, KeyError, RecursionError):
        return ""


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(100_000)
    except OSError:
        return ""
