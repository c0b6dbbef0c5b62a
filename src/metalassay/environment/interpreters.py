"""Finds the interpreter of another environment and asks it what it is and which packages it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from metalassay import safe_path
from metalassay.environment import self_report, versions
from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, parse_json, printable

_NEXT = "name one, as in: metalassay doctor --env .venv"
_OTHER_OUTPUT = "it printed something else than its packages"

_ASK = f"""{safe_path.DROP}
module = {{"__name__": "self_report"}}
exec(sys.argv[1], module)
import json
packages = sys.argv[2:]
print(json.dumps({{"versions": module["versions"](packages), **module["report"](packages)}}))
"""


@dataclass(frozen=True)
class Install:
    """One install of a package: in which ``folder``, by which ``installer`` ("pip", "uv", "conda", "").

    ``editable`` is where the source of an editable install is, "" for any other. ``metadata`` is the name of
    the folder in ``folder`` that describes it, as in "torch-2.5.1.dist-info".
    """

    name: str
    version: str
    folder: str
    installer: str = ""
    editable: str = ""
    metadata: str = ""


@dataclass(frozen=True)
class Interpreter:
    """A Python: its command, its folders, its ``machine`` ("arm64"), and the installs that it finds.

    ``prefix`` is the environment's folder, ``base_prefix`` that of the Python that it was made from;
    outside a virtual environment they are equal. The first install of a package is the one in use.
    """

    python: str
    prefix: str
    base_prefix: str
    stdlib: str
    machine: str
    has_pip: bool
    installs: tuple[Install, ...] = ()


def find(place: str) -> str:
    """Return the interpreter in the folder of a virtual environment; return a file or command unchanged.

    The path is not resolved: the Python of a virtual environment is a link, and finds its packages by
    the place of that link. Raises ``UserError`` for a folder without a Python.
    """
    if not place.strip():  # an unset variable, as in --env "$VENV"
        raise UserError("no environment is named: the name is empty", _NEXT)
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
    return ask(python, packages)[0]


def this(packages: Sequence[str] = versions.STACK) -> Interpreter:
    """Return what the interpreter that runs this says of itself."""
    return _interpreter(Field(self_report.report(list(packages))), sys.executable)


def ask(
    python: str, packages: Sequence[str] = versions.STACK
) -> tuple[dict[str, str], Interpreter]:
    """Return the versions of those ``packages`` that an interpreter has, and what it says of itself.

    It is started once. Raises ``UserError`` as ``versions_of`` does.
    """
    source = resources.files(__package__).joinpath("self_report.py").read_text("utf-8")
    try:
        answer = subprocess.run(  # noqa: S603  (the user's own interpreter, no shell)
            [python, "-c", _ASK, source, *packages],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=True,
        )
        found = Field(parse_json(answer.stdout))
        there = found.get("versions").texts()
        interpreter = _interpreter(found, python)
    except (OSError, subprocess.SubprocessError, FieldError) as error:
        raise _not_python(python, _why(error)) from None
    return {**versions.installed(()), **there}, interpreter


def _interpreter(found: Field, asked: str) -> Interpreter:
    return Interpreter(
        # sys.executable is empty where Python cannot tell.
        python=found.get("python").text() or asked,
        prefix=found.get("prefix").text(),
        base_prefix=found.get("base_prefix").text(),
        stdlib=found.get("stdlib").text(),
        machine=found.get("machine").text(),
        has_pip=found.get("has_pip").flag(),
        installs=tuple(
            Install(
                name=each.get("name").text(),
                version=each.get("version").text(),
                folder=each.get("folder").text(),
                installer=each.get("installer").text(),
                editable=each.get("editable").text(),
                metadata=each.get("metadata").text(),
            )
            for each in found.get("installs").each()
        ),
    )


def _not_python(python: str, why: str) -> UserError:
    return UserError(f"{python}: does not run as a Python interpreter: {why}", _NEXT)


def _why(error: Exception) -> str:
    """Return the reason on one line; the messages of the errors would quote the whole command."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        return printable(lines[-1]) if lines else f"exit code {error.returncode}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _OTHER_OUTPUT
