"""Run a program under the recorder of operators, in a child process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from metalassay import minder
from metalassay.errors import UserError
from metalassay.interrupts import TerminatedError
from metalassay.mps import program_arguments
from metalassay.mps.preflight import predict

CHILD = Path(__file__).with_name("child.py")
SETTINGS = "settings.json"  # recording.SETTINGS, in a module that needs torch
NO_TORCH = 78  # EX_CONFIG of sysexits.h: what child.py ends with
INTERRUPTED = 130  # the same, while it imported torch
_EXAMPLE = "metalassay preflight -- python train.py"


def trace(program: Sequence[str], seconds: float = 0) -> tuple[Mapping[str, Any], int]:
    """Run a program on the CPU; return its trace and its exit code.

    ``program`` is as for ``program_arguments.split``; its output goes to the terminal. It is stopped
    after ``seconds`` (0: never) or by Ctrl+C, and the calls recorded until then are returned. Raises
    ``UserError`` if nothing could be recorded.
    """
    python, options, rest = program_arguments.split(program, _EXAMPLE)
    with tempfile.TemporaryDirectory(prefix="metalassay-preflight-") as folder:
        target = Path(folder, "trace.json")
        Path(folder, SETTINGS).write_text(json.dumps(predict.settings()), "utf-8")
        command = [python, *options, str(CHILD), str(target), str(seconds), "--", *rest]
        # Hide the GPUs, so that the program chooses the CPU.
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        try:
            child = minder.start(command, env=env, tree=True)
        except OSError as error:
            raise UserError(f"cannot start {python}: {error}", _EXAMPLE) from None
        with minder.forgetting(child.pid):
            code = _wait(child)
        if code == NO_TORCH and not target.exists():
            raise UserError(
                f"preflight needs torch, which {python} does not have",
                f"{python} -m pip install torch, or name the Python that has it",
            )
        if code == INTERRUPTED and not target.exists():
            raise KeyboardInterrupt
        if not target.exists():
            how = f"ended with exit code {code}"
            if code < 0:
                how = f"was ended by {signal.Signals(-code).name}"
            raise UserError(
                f"nothing was recorded: {python} {how} before its recording was written",
                "run the program alone first; one that ends with os._exit leaves no recording",
            )
        trace = predict.parse(target.read_bytes(), str(target))
        parts = [
            predict.parse(path.read_bytes(), path.name) for path in Path(folder).glob("part-*.json")
        ]
        return predict.together(trace, parts, len([*Path(folder).glob("begun-*")])), code


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for the program, also after Ctrl+C, which reaches it too: it writes its trace and exits.

    SIGTERM gives it a second for that; then it and what it started are killed, and nothing is recorded.
    """
    while True:
        try:
            return child.wait()
        except TerminatedError:
            child.send_signal(signal.SIGINT)
            try:
                return child.wait(1)
            except subprocess.TimeoutExpired:
                _kill(child)
                raise TerminatedError from None
        except KeyboardInterrupt:
            continue


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    child.kill()
    child.wait()
