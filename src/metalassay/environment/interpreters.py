"""What is installed beside another Python: found, and asked for package metadata only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.fields import printable

_NEXT = "name one, as in: metalassay doctor --env .venv"

# The working directory goes first: a json.py of the user's is not json.
_ASK = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json, platform
from importlib import metadata
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def find(place: str) -> str:
    """Return the interpreter of a virtual environment's folder; anything else is taken for one.

    The path is not resolved: a virtual environment's Python is a link, and known by its place.
    Raises ``UserError`` for a folder without a Python.
    """
    folder = Path(place)
    if not folder.is_dir():
        return place
    for name in ("bin/python", "bin/python3", "Scripts/python.exe"):
        if (folder / name).is_file():
            return str(folder / name)
    raise UserError(f"{place}: not a virtual environment: it has no bin/python", _NEXT)


def versions_of(python: str, packages: tuple[str, ...] = versions.STACK) -> dict[str, str]:
    """Return what of ``packages`` is installed beside an interpreter, a command or a path.

    What describes the machine ("macos", …) is this machine's. Raises ``UserError`` when ``python``
    is no Python that answers.
    """
    try:
        answer = subprocess.run(  # noqa: S603  (the user's own interpreter, no shell)
            [python, "-c", _ASK, *packages],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=True,
        )
        found = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        raise _no_python(python, _why(error)) from None
    if not isinstance(found, dict) or "python" not in found:
        raise _no_python(python, "it answered something else")
    asked = {str(name): str(version) for name, version in found.items()}
    return {**versions.installed(()), **asked}


def _no_python(python: str, why: str) -> UserError:
    return UserError(f"{python}: not a Python interpreter that answers: {why}", _NEXT)


def _why(error: OSError | subprocess.SubprocessError | json.JSONDecodeError) -> str:
    """Return a reason on one line; the errors themselves would quote the whole command."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        return printable(said[-1]) if said else f"it ended with code {error.returncode}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it answered something else"
