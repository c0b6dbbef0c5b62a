"""Parse the command line of a Python program that the user wants to run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from metalassay.errors import UserError


def split(program: Sequence[str], example: str) -> tuple[str, list[str], list[str]]:
    """Split a command line into the interpreter, its options, and the program with its arguments.

    ``program`` is ``python [-u] script.py ARGS``, ``python -m module ARGS``, ``python -c CODE`` or
    ``module:function``, which runs in this Python. Raises ``UserError`` for anything else, with
    ``example`` as the command to follow.
    """
    if not program:
        raise UserError("no program to run", example)
    first, *rest = program
    if ":" in first and not rest and not Path(first).exists():
        module, _, function = first.partition(":")
        if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise UserError(f"{first!r} is not module:function", "an example: package.train:main")
        return sys.executable, [], [first]
    if not Path(first).name.startswith("python"):
        raise UserError(
            f"{first!r} is not a Python interpreter; only Python programs can be run here",
            f"for a console script: {example.rpartition(' ')[0]} -m its.module",
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
