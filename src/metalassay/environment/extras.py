"""What a command needs beyond the light core, named in one line before anything is started."""

from __future__ import annotations

import importlib.util

from metalassay.errors import UserError


def require(command: str, extra: str, *modules: str) -> None:
    """Raise ``UserError`` if a module that a command needs is not installed; imports none of them.

    ``extra`` is the extra of metalassay that brings all of them.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise missing_extra(command, extra, *missing)


def missing_extra(command: str, extra: str, *modules: str) -> UserError:
    """Return the error for modules that are known to be missing."""
    verb = "is" if len(modules) == 1 else "are"
    names = " and ".join(name.replace("_", "-") for name in modules)
    return UserError(f"{command} needs {names}, which {verb} not installed", install(extra))


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'metalassay[{extra}]'"
