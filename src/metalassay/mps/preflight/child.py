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
import threading
import time
from types import ModuleType

# torch catches every error of some of its imports, and would go on with half a module after Ctrl+C.
_before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # run.INTERRUPTED
try:
    os.getcwd()  # noqa: PTH109  (without one, libraries of torch end the process)
    import torch  # noqa: F401  (for the modules loaded below)
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    sys.exit(78)  # run.NO_TORCH, which says so in a sentence
except FileNotFoundError:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # torch asks for it while it is imported
        sys.exit("metalassay: the current folder was deleted")
    raise
signal.signal(signal.SIGINT, _before)


def _load(*parts: str) -> ModuleType:
    """Load a module by its path relative to this file: metalassay need not be installed here."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), *parts)  # noqa: PTH100, PTH118, PTH120
    spec = importlib.util.spec_from_file_location(f"_metalassay_{parts[-1][:-3]}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _TimeUp(BaseException):
    """The given time is over. Not an ``Exception``, which the program might catch."""


def main() -> int:
    """Run the program that the arguments name and write its trace; return 1 if it exits with a code."""
    target, seconds, _, *program = sys.argv[1:]
    folder = os.path.dirname(target)  # noqa: PTH120
    recordings, devices = _load("recording.py"), _load("child_devices.py")
    runner = _load("..", "program_runner.py")
    with open(os.path.join(folder, recordings.SETTINGS), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        settings = json.load(file)
    recording = recordings.Recording(
        settings,
        _load("tracing.py"),
        _load("..", "ported_watch.py"),
        _load("as_mac.py"),
        _load("beyond.py"),
    )
    recording.with_children(folder)
    devices.hide_mps()
    began = time.monotonic()

    def time_up(*_: object) -> None:
        raise _TimeUp

    if float(seconds):
        signal.signal(signal.SIGALRM, time_up)
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
    code, ended = 0, ""
    try:
        with recording.running():
            runner.run(program)
            for thread in threading.enumerate():  # as Python would at its end
                if not thread.daemon and thread is not threading.main_thread():
                    thread.join()
    except _TimeUp:
        ended = f"stopped after {seconds} s, as requested"
    except KeyboardInterrupt:
        ended = "interrupted"
    except SystemExit as end:
        if end.code not in (None, 0):
            # Python prints anything else than a number, and exits with 1.
            number, said = (end.code, "") if isinstance(end.code, int) else (1, f": {end.code}")
            ended, code = f"the program ended with exit code {number}{said}", 1
    except BaseException as error:  # recorded and raised again: the user needs the traceback
        ended, code = f"the program ended with {type(error).__name__}: {error}", 1
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if code and devices.asked[0]:
            ended += ", after it was told that there is no MPS here"
        record = recording.record(ended, time.monotonic() - began)
        recordings.write_json(target, record)
    return code


if __name__ == "__main__":
    sys.exit(main())
