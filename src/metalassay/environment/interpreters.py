"""Finds the interpreter of another environment and asks it for its package metadata."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.fields import printable

_NEXT = "name one, as in: metalassay doctor --env .venv"
_OTHER_OUTPUT = "it printed something else than its packages"

# The working directory is removed from sys.path: the user's json.py there is not the module json.
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
    except UnicodeDecodeError:
        found[name] = "unreadable"
print(json.dumps(found))
"""


def find(place: str) -> str:
    """Return the interpreter in the folder of a virtual environment; return a file or command unchanged.

    The path is not resolved: the Python of a virtual environment is a link, and finds its packages by
    the place of that link. Raises ``UserError`` for a folder without a Python.
    """
    folder = Path(place)
    if not folder.is_dir():
        return place
    for name in ("bin/python", "bin/python3", "Scripts/python.exe"):
        if (folder / name).is_file():
            return str(folder / name)
    raise UserError(f"{place}: not a virtual environment: it has no bin/python", _NEXT)


def versions_of(python: str, packages: tuple[str, ...] = versions.STACK) -> dict[str, str]:
    """Return the versions of those ``packages`` that an interpreter (a command or a path) has.

    What describes the machine ("macos", …) is that of this machine. Raises ``UserError`` when
    ``python`` does not run as a Python interpreter.
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
        raise _not_python(python, _why(error)) from None
    if not isinstance(found, dict) or "python" not in found:
        raise _not_python(python, _OTHER_OUTPUT)
    there = {str(name): str(version) for name, version in found.items()}
    return {**versions.installed(()), **there}


def _not_python(python: str, why: str) -> UserError:
    return UserError(f"{python}: does not run as a Python interpreter: {why}", _NEXT)


def _why(error: OSError | subprocess.SubprocessError | json.JSONDecodeError) -> str:
    """Return the reason on one line; the messages of the errors would quote the whole command."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        return printable(lines[-1]) if lines else f"exit code {error.returncode}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _OTHER_OUTPUT
