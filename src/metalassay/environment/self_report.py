"""What a Python says of itself and of its packages: runs inside any Python since 3.8, from its text.

`interpreters` hands the text of this module to the interpreter of another environment, so it takes
the standard library only, and imports nothing of ours. Metadata are read as importlib.metadata reads
them, which takes longer to import than all of this takes to run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import stat
import sys
from pathlib import Path

_LINK = ".egg-link"  # what `setup.py develop` leaves
_ENDINGS = (".dist-info", ".egg-info", _LINK)
_UNREADABLE = "unreadable"
_MOST = 16 * 2**20  # bytes of metadata; those of torch have 30 thousand


def report(packages: list[str]) -> dict[str, object]:
    """Return the facts about this interpreter, and every install of those ``packages`` that it finds.

    Installs come in the order in which Python searches: the first of a package is the one in use.
    """
    folders = [folder for folder in dict.fromkeys(sys.path) if folder]
    return {
        "python": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "stdlib": str(Path(os.__file__).parent),
        "machine": platform.machine(),
        "has_pip": any(Path(folder, "pip").is_dir() for folder in folders),
        "installs": [
            _install(name, place)
            for folder in folders
            for name, place in _found(folder, packages)
            # Without a version in its name it lies beside its source, and is not installed there.
            if "-" in place.stem or place.suffix == _LINK
        ],
    }


def versions(packages: list[str]) -> dict[str, str]:
    """Return the version of Python and of each of those ``packages`` that is installed."""
    found = {"python": platform.python_version()}
    folders = list(dict.fromkeys(sys.path))
    if any(folder.endswith(".egg") or _is_archive(folder) for folder in folders):
        return _from_importlib(packages, found)
    for folder in folders:
        for name, place in _found(folder or ".", packages):
            if name not in found and place.suffix != _LINK:
                found[name] = _version(place)
    return {name: found[name] for name in ("python", *packages) if name in found}


def _from_importlib(packages: list[str], found: dict[str, str]) -> dict[str, str]:
    """Return the versions also of packages in archives, which are rare."""
    from importlib import metadata

    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        except (KeyError, UnicodeDecodeError, OSError):
            found[name] = _UNREADABLE
    return {name: version or _UNREADABLE for name, version in found.items()}


def _is_archive(folder: str) -> bool:
    return folder.endswith((".zip", ".pyz", ".whl")) and Path(folder).is_file()


def _found(folder: str, packages: list[str]) -> list[tuple[str, Path]]:
    """Return the metadata of those packages in a folder, in the order in which Python finds them."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(_ENDINGS)]
    except OSError:
        return []
    found = []
    for entry in names:
        name = re.sub("[-_.]+", "-", entry.rpartition(".")[0].partition("-")[0]).lower()
        if name in packages:
            found.append((name, Path(folder, entry)))
    return found


def _install(name: str, place: Path) -> dict[str, str]:
    linked = place.suffix == _LINK
    return {
        "name": name,
        "version": "" if linked else _version(place),
        "folder": str(place.parent),
        "metadata": place.name,
        "installer": _text(place / "INSTALLER").strip(),
        "editable": (_text(place).splitlines() or [""])[0] if linked else _editable(place),
    }


def _version(place: Path) -> str:
    """Return the version in the metadata; that in the name of their folder where they are missing."""
    inside = [place / "METADATA", place / "PKG-INFO"] if place.is_dir() else [place]
    for file in inside:
        if not os.path.lexists(file):
            continue
        try:
            header = _content(file).decode().replace("\r\n", "\n").partition("\n\n")[0]
        except (UnicodeDecodeError, OSError):
            return _UNREADABLE
        match = re.search("^Version:(.*)$", header, re.MULTILINE)
        return match[1].strip()[:100] if match else "None"
    return place.stem.partition("-")[2].partition("-py")[0] or "None"


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
        return _content(path)[:100_000].decode("utf-8", "replace")
    except OSError:
        return ""


def _content(path: Path) -> bytes:
    """Return the content of a regular file; a pipe is not waited for. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(_MOST + 1)
    finally:
        os.close(handle)
    if len(content) > _MOST:
        raise OSError("too large")
    return content
