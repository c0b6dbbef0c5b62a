"""Runs a program under the recorder of operators, in a child process."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from metalassay.mps.preflight import predict

RECORDER = Path(__file__).with_name("child.py")
_EXAMPLE = "metalassay preflight -- python train.py"


def trace(program: Sequence[str], seconds: float = 0) -> tuple[Mapping[str, Any], int]:
    """Run a program on the CPU; return its trace and exit code.

    ``program`` is ``python [-u] script.py ARGS``, ``python -m module ARGS``, ``python -c CODE``, or
    ``module:function``. It writes to the terminal as always. After ``seconds`` it is stopped, 0 for
    never; Ctrl+C stops it too: what was recorded until then is returned. Raises ``UserError`` when
    nothing could be recorded.
    """
    python, options, rest = split(program, _EXAMPLE)
    with tempfile.TemporaryDirectory(prefix="metalassay-preflight-") as folder:
        target = Path(folder, "trace.json")
        command = [python, *options, str(RECORDER), str(target), str(seconds), "--", *rest]
        # No GPU, so that the CPU is what the program finds.
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        try:
            child = subprocess.Popen(command, env=env)  # noqa: S603  (what the user asked to run)
        except OSError as error:
            raise UserError(f"cannot start {python}: {error}", _EXAMPLE) from None
        while True:
            # Ctrl+C reaches the child as well; it writes its trace and ends.
            with contextlib.suppress(KeyboardInterrupt):
                code = child.wait()
                break
        if not target.exists():
            raise UserError(
                f"nothing was recorded: {python} ended with exit code {code}",
                "run the program alone first; the Python must have torch",
            )
        return predict.parse(target.read_bytes(), str(target)), code


def split(program: Sequence[str], example: str) -> tuple[str, list[str], list[str]]:
    """Split a command line into the interpreter, its options, and what it runs.

    Raises ``UserError``, with ``example`` to go by, for what is no Python program.
    """
    if not program:
        raise UserError("no program to run", example)
    first, *rest = program
    if ":" in first and not rest and not Path(first).exists():
        module, _, function = first.partition(":")
        if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise UserError(f"{first!r} is no module:function", "as in: package.train:main")
        return sys.executable, [], [first]
    if not Path(first).name.startswith("python"):
        raise UserError(
            f"{first!r} is no Python: only a Python program can be run so",
            f"for a console script: {example.rpartition(' ')[0]} -m its.module",
        )
    python = shutil.which(first)
    if python is None:
        raise UserError(f"there is no {first}", example)
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
