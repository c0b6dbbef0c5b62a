"""Parse the command line of a Python program that the user wants to run."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from metalassay.errors import UserError


def split(program: Sequence[str], example: str) -> tuple[str, list[str], list[str]]:
    """Split a command line into the interpreter, its options, and the program with its arguments.

    ``program`` is ``python [-u] script.py ARGS``, ``python -m module ARGS``, ``python -c CODE``, a script that
    names its interpreter, such as ``accelerate``, or ``module:function``, which runs in this Python. Raises
    ``UserError`` for anything else, with ``example`` as the command to follow.
    """
    if not program:
        raise UserError("no program to run", example)
    first, *rest = program
    if ":" in first and not rest and not Path(first).exists():
        module, _, function = first.partition(":")
        if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise UserError(f"{first!r} is not module:function", "an example: package.train:main")
        return sys.executable, [], [first]
    if not Path(first).name.startswith("python") and (script := _script(first)):
        first, rest = script[0], [*script[1:], *rest]
    if not Path(first).name.startswith("python"):
        if shutil.which(first) is None and not Path(first).exists():
            raise UserError(f"there is no program {first}", f"an example: {example}")
        if Path(first).is_file() and not os.access(first, os.X_OK):
            raise UserError(f"{first} is not executable", f"chmod +x {first}, or python {first}")
        raise UserError(
            f"{first!r} is not a Python interpreter, nor a script of one; only Python programs can be run here",
            f"an example: {example}",
        )
    python = shutil.which(first)
    if python is None:
        raise UserError(f"there is no interpreter {first}", example)
    options = []
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        options.append(rest.pop(0))
        if options[-1] in ("-X", "-W") and rest:
            options.append(rest.pop(0))
    if not rest or (rest[0] in ("-m", "-c") and len(rest) == 1):
        raise UserError("no program to run", example)
    if rest[0] not in ("-m", "-c") and not Path(rest[0]).is_file():
        raise UserError(f"there is no file {rest[0]}", example)
    return python, options, rest


def _script(name: str) -> list[str]:
    """Return the interpreter that a script names in its first lines, with its options, and the script; [] for none."""
    path = shutil.which(name)
    if path is None:
        return []
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(1024).decode("utf-8", "replace")
    except OSError:
        return []
    first, _, rest = head.partition("\n")
    # Where the path is too long for a first line, or has a space in it, pip writes a script of the shell.
    long = re.match(r"'''exec' (\"[^\"]+\"|\S+) \"\$0\"", rest) if first == "#!/bin/sh" else None
    words = [long[1].strip('"')] if long else first.removeprefix("#!").split()
    if not first.startswith("#!") or not words:
        return []
    if Path(words[0]).name == "env":
        words = words[2:] if words[1:2] == ["-S"] else words[1:]
    if not words or not Path(words[0]).name.startswith("python"):
        return []
    return [*words, path]
