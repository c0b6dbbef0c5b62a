"""An option of pytest whose value, a torch release, may be left out: what follows it may be a path.

argparse gives such an option the next word, so that ``pytest --emulate-mps tests/`` would ask for a
torch release named tests/ and run the tests of every folder. A word that is no version goes back to
the paths.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def is_version(word: str) -> bool:
    """Return whether a word is meant as a version: it begins with a digit and is no path."""
    return word[:1].isdigit() and "::" not in word and os.sep not in word and not _exists(word)


def release(config: pytest.Config, args: list[str], option: str) -> str | None:
    """Return the version that the option has, "" if it has none, or None if the option is not given.

    Called by ``pytest_load_initial_conftests`` with its ``args``, from which pytest parses all options
    once more: they are corrected in place.
    """
    known = config.known_args_namespace
    name = option.removeprefix("--").replace("-", "_")
    value: str | None = getattr(known, name)
    if not value or f"{option}={value}" in args or is_version(value):
        return value
    for place in range(len(args) - 1):
        if args[place : place + 2] == [option, value]:
            args[place] = f"{option}="  # an empty value, as if nothing followed
            setattr(known, name, "")
            # Only the conftest files of these paths are loaded first.
            known.file_or_dir = [value, *known.file_or_dir]
            return ""
    return value


def _exists(word: str) -> bool:
    return Path(word).exists()
