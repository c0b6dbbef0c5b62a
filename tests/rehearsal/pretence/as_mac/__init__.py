"""Make our code in this process believe that it runs on a Mac; other packages keep Linux.

torch, numpy and psutil look for Linux's files and libraries here, so they must see the system that they
were built for. Every module therefore has the builtins that its loader gives it: ours get a dict of
builtins whose ``__import__`` answers ``import sys`` (``os``, ``platform``, ``psutil``, ...) with a face
that shows macOS. Nothing global is changed, and ``frame.f_builtins`` tells whose code runs.
"""

from __future__ import annotations

import _frozen_importlib
import builtins
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from as_mac import faces, facts, hooks, watch

ROOT = Path(__file__).resolve().parents[4]
HERE = Path(__file__).resolve().parents[1]
# In src also what is loaded by its path, under another name: the recorder of preflight.
_FOLDERS = ("src/metalassay", "compat", "benchmarks", "tests", "tests_emulated")
OURS = tuple(str(ROOT / name) + os.sep for name in _FOLDERS)

BUILTINS = dict(vars(builtins))


def is_ours(name: str, origin: str | None) -> bool:
    """Return whether a module is part of this project, and not of the rehearsal itself."""
    if name == "metalassay" or name.startswith("metalassay."):
        return True
    place = origin or ""
    return place.startswith(OURS) and not place.startswith(str(HERE) + os.sep)


def _import(
    name: str,
    globals: Any = None,  # noqa: A002  (the names of builtins.__import__)
    locals: Any = None,  # noqa: A002
    fromlist: Any = (),
    level: int = 0,
) -> ModuleType:
    module: ModuleType = builtins.__import__(name, globals, locals, fromlist, level)
    if level:
        return module
    return faces.face(name if fromlist else name.partition(".")[0], module)


def _give_builtins(init: Callable[..., Any]) -> Callable[..., Any]:
    """Return importlib's function that fills in a new module, which now also decides what it sees."""

    def init_module_attrs(spec: Any, module: Any, **options: Any) -> Any:
        filled = init(spec, module, **options)
        if is_ours(spec.name, spec.origin):
            vars(filled)["__builtins__"] = BUILTINS
        return filled

    return init_module_attrs


def install(mac: Path) -> None:
    """Begin the pretence, until the process ends."""
    facts.load(json.loads(mac.read_text("utf-8")))
    BUILTINS["__import__"] = _import
    importlib: Any = _frozen_importlib
    importlib._init_module_attrs = _give_builtins(importlib._init_module_attrs)
    # What multiprocessing passes with -c is its own code, not a program.
    if not any(argument.startswith("from multiprocessing.") for argument in sys.orig_argv):
        vars(sys.modules["__main__"])["__builtins__"] = BUILTINS
    hooks.install(BUILTINS)
    watch.install(BUILTINS)
