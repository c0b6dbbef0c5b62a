"""Runs a program with an emulated mps, in its own Python.

``python -m metalassay.mps.emulator.run_child TORCH -- script.py ARGS``, ``-- -m module ARGS``,
``-- -c CODE`` or ``-- module:function``; TORCH is a release or "".
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys

from metalassay.errors import UserError
from metalassay.mps.emulator import session


def main() -> int:
    """Emulate, run the program, and return 2 for what the user can mend; else as the program does."""
    version, _, *program = sys.argv[1:]
    with contextlib.ExitStack() as stack:
        try:
            session.start(stack, version or None)
        except UserError as error:
            print(f"metalassay: {error.message}\n  next: {error.next_step}", file=sys.stderr)  # noqa: T201
            return error.exit_code
        _run(program)
    return 0


def _run(program: list[str]) -> None:
    first = program[0]
    # `-m` put the folder that we were started in first; a script has its own there.
    if first == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *program[2:]]
        main_module = sys.modules["__main__"].__dict__
        exec(compile(program[1], "<string>", "exec"), main_module)  # noqa: S102
    elif first.endswith(".py") or os.path.exists(first):  # noqa: PTH110
        sys.argv = program
        sys.path[0] = os.path.dirname(os.path.abspath(first))  # noqa: PTH100, PTH120
        runpy.run_path(first, run_name="__main__")
    else:
        module, _, function = first.partition(":")
        getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    sys.exit(main())
