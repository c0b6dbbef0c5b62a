"""Run a Python program inside this process, as the interpreter would have started it.

It needs only the standard library, so that it also runs in a Python without metalassay.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import types
from collections.abc import Sequence


def run(program: Sequence[str]) -> None:
    """Run ``script.py ARGS``, ``-m module ARGS``, ``-c CODE ARGS`` or ``module:function``.

    Sets ``sys.argv``, and replaces the first entry of ``sys.path``, which belongs to the program that
    calls this function, by what Python would have put there.
    """
    first = program[0]
    if first == "-m":
        _set_path(os.getcwd())  # noqa: PTH109  (as Python does, a str)
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    elif first == "-c":
        _set_path("")
        sys.argv = ["-c", *program[2:]]
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(compile(program[1], "<string>", "exec"), module.__dict__)  # noqa: S102
    elif first.endswith(".py") or os.path.exists(first):  # noqa: PTH110
        _set_path(os.path.dirname(os.path.abspath(first)))  # noqa: PTH100, PTH120
        sys.argv = list(program)
        runpy.run_path(first, run_name="__main__")
    else:
        _set_path(os.getcwd())  # noqa: PTH109
        module_name, _, function = first.partition(":")
        sys.argv = [first]
        getattr(importlib.import_module(module_name), function)()


def _set_path(folder: str) -> None:
    # With `python -P` or `-I`, Python adds no folder of its own, and there is none to replace.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder
