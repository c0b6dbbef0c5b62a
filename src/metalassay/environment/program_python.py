"""Find out which Python a command line will run, without running it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from metalassay import files

_LONGEST = 512  # bytes; systems cut longer "#!" lines
_RUNNERS = (
    "uv",
    "poetry",
    "pdm",
    "pixi",
    "pipenv",
)  # they run what is in the project's environment


def of(command: Sequence[str], folder: Path | None = None) -> str | None:
    """Return the interpreter of a command; None if it is no Python program, or nobody can tell.

    A Python is itself; a script such as `accelerate` names it in its first line; `uv run` and its like
    use the ``.venv`` of the project, looked for from ``folder`` (the working directory) upwards.
    """
    words = list(command)
    while words and (words[0] in ("env", "nice", "time", "nohup", "caffeinate") or "=" in words[0]):
        words.pop(0)  # `env NAME=VALUE python train.py`
        while words and words[0].startswith("-"):
            words.pop(0)
    if not words:
        return None
    found = shutil.which(words[0])
    if found is None:
        return None
    name = Path(found).name
    if name.startswith(("python", "pypy")):
        return found
    if name in _RUNNERS and "run" in words:
        return _of_project(folder or Path.cwd())
    return _of_script(Path(found))


def installed(python: str) -> dict[str, str]:
    """Return the versions of the packages in the environment of an interpreter, by the names of its folders.

    Starts nothing, so it is quick, and it sees no packages that the environment shares with others. Empty
    where there is no such folder.
    """
    versions: dict[str, str] = {}
    # Not resolved: the Python of a virtual environment is a link to that which it was made from.
    for folder in Path(python).parent.parent.glob("lib/python3*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        versions[canonicalize_name(name)] = version
    return versions


def _of_project(folder: Path) -> str | None:
    for above in (folder, *folder.parents):
        python = above / ".venv" / "bin" / "python"
        if python.is_file():
            return str(python)
    return None


def _of_script(path: Path) -> str | None:
    try:
        with files.open_regular(path) as stream:
            start = stream.read(_LONGEST)
    except OSError:
        return None
    if not start.startswith(b"#!"):
        return None
    lines = start.decode("utf-8", "replace").splitlines()
    words = lines[0][2:].split()
    if len(words) > 1 and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
        words = [shutil.which(words[0]) or ""] if words else []
    elif words and Path(words[0]).name == "sh" and len(lines) > 1:
        # Where the path is long or has spaces, pip and uv write: #!/bin/sh, '''exec' "PYTHON" "$0" "$@"
        _, _, rest = lines[1].partition("exec' ")
        words = [rest.split('"')[1] if rest.startswith('"') else rest.partition(" ")[0]]
    if (
        words
        and Path(words[0]).name.startswith(("python", "pypy"))
        and os.access(words[0], os.X_OK)
    ):
        return words[0]
    return None
