"""Run a program with the recorder of operators on. Runs beside the user's torch, without metalassay.

``python child.py OUT SECONDS -- script.py ARGS``, ``-- -m module ARGS``, ``-- -c CODE`` or
``-- module:function`` runs that program on the CPU and writes a JSON trace to OUT, even if the
program fails or is interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from types import ModuleType
from typing import Any

# torch catches every error of some of its imports, and would go on with half a module after Ctrl+C.
_before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # run.INTERRUPTED
try:
    import torch
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    sys.exit(78)  # run.NO_TORCH, which says so in a sentence
signal.signal(signal.SIGINT, _before)

SCHEMA = "metalassay.trace/1"


def _load(*parts: str) -> ModuleType:
    """Load a module by its path relative to this file: metalassay need not be installed here."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), *parts)  # noqa: PTH100, PTH118, PTH120
    spec = importlib.util.spec_from_file_location(f"_metalassay_{parts[-1][:-3]}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hide_mps() -> None:
    """Let a program that asks torch for a device choose the CPU, also on a Mac.

    On MPS the first operator without a kernel would end it, and those after it would stay unknown.
    """
    backend: Any = torch.backends.mps
    backend.is_available = lambda: False
    for name, answer in (("is_available", False), ("device_count", 0)):
        if hasattr(torch.mps, name):  # from torch 2.4 and 2.5
            setattr(torch.mps, name, lambda answer=answer: answer)
    accelerator: Any = getattr(torch, "accelerator", None)  # from torch 2.6
    if accelerator is not None:
        accelerator.is_available = lambda: False
        accelerator.device_count = lambda: 0
        accelerator.current_accelerator = lambda check_available=False: None


class _TimeUp(BaseException):
    """The given time is over. Not an ``Exception``, which the program might catch."""


def main() -> int:
    """Run the program that the arguments name and write its trace; return 1 if it exits with a code."""
    target, seconds, _, *program = sys.argv[1:]
    hide_mps()
    recorder, runner = _load("tracing.py").Recorder(), _load("..", "program_runner.py")
    began = time.monotonic()

    def time_up(*_: object) -> None:
        raise _TimeUp

    if float(seconds):
        signal.signal(signal.SIGALRM, time_up)
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
    code, ended = 0, ""
    try:
        with recorder:
            runner.run(program)
    except _TimeUp:
        ended = f"stopped after {seconds} s, as requested"
    except KeyboardInterrupt:
        ended = "interrupted"
    except SystemExit as end:
        if end.code not in (None, 0):
            ended, code = f"the program ended with exit code {end.code}", 1
    except BaseException as error:  # recorded and raised again: the user needs the traceback
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


if __name__ == "__main__":
    sys.exit(main())
