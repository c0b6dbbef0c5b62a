"""Runs a program with the recorder of operators on. Runs beside the user's torch; needs nothing of ours.

``python preflight_child.py OUT SECONDS -- script.py ARGS``, ``-- -m module ARGS`` or
``-- module:function`` runs that program on the CPU and leaves a JSON trace in OUT, also when it fails
or is interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import signal
import sys
import time
from types import ModuleType

import torch

SCHEMA = "metalassay.trace/1"


def _tracing() -> ModuleType:
    """Load the recorder, which lies beside this file, where nothing of ours is installed."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tracing.py")  # noqa: PTH100, PTH118, PTH120
    spec = importlib.util.spec_from_file_location("_metalassay_tracing", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no recorder at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _EnoughError(BaseException):
    """The time given is over. No Exception: the program must not catch it."""


def main() -> int:
    """Run the program that the arguments name, and write its trace; see the module's text."""
    target, seconds, _, *program = sys.argv[1:]
    recorder, ended, began = _tracing().Recorder(), "", time.monotonic()

    def enough(*_: object) -> None:
        raise _EnoughError

    if float(seconds):
        signal.signal(signal.SIGALRM, enough)
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
    code = 0
    try:
        with recorder:
            _run(program)
    except _EnoughError:
        ended = f"stopped after {seconds} s, as asked"
    except KeyboardInterrupt:
        ended = "interrupted"
    except SystemExit as end:
        if end.code not in (None, 0):
            ended, code = f"the program ended with exit code {end.code}", 1
    except BaseException as error:  # written down and raised again: the traceback is the user's
        ended = f"the program ended with {type(error).__name__}: {error}"
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        record = {
            "schema": SCHEMA,
            "torch": torch.__version__,
            "ended": ended,
            "seconds": round(time.monotonic() - began, 3),
            "calls": recorder.trace(),
        }
        with open(target + ".part", "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(record, file)
        os.replace(target + ".part", target)  # noqa: PTH105
    return code


def _run(program: list[str]) -> None:
    first = program[0]
    if first == "-m":
        sys.argv = program[1:]
        sys.path.insert(0, "")
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *program[2:]]
        sys.path.insert(0, "")
        exec(compile(program[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
    elif first.endswith(".py") or os.path.exists(first):  # noqa: PTH110
        sys.argv = program
        sys.path.insert(0, os.path.dirname(os.path.abspath(first)))  # noqa: PTH100, PTH120
        runpy.run_path(first, run_name="__main__")
    else:
        import importlib

        module, _, function = first.partition(":")
        sys.path.insert(0, "")
        getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    # Python put this file's folder in front, whose modules would hide the user's.
    sys.path.pop(0)
    sys.exit(main())
