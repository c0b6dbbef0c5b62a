"""Run one hazard or workload: `mps_child.py FUNCTION DEVICE`; mps_processes.py reads how it ends.

The exit code is 0 if the function returns, 77 if this torch or machine does not support it (the last
line of stderr is the reason), and 1 for an exception (the last line is its type and message).

`mps_child.py --serve` runs one after the other: each line of stdin is FUNCTION DEVICE, and is answered by
a line of JSON with such a "code" and a "text", which is the reason or the exception.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import json
import os
import sys
from collections.abc import Callable

import mps_hazards
import mps_workloads

UNSUPPORTED = 77


def functions() -> dict[str, Callable[[str], None]]:
    """Return what can be run, by name: the functions that take a device and return nothing."""
    return {
        name: function
        for module in (mps_hazards, mps_workloads)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and function is not mps_hazards.unclean
        and function.__annotations__ == {"device": "str", "return": "None"}
    }


def main(function: str, device: str) -> int:
    try:
        functions()[function](device)
    except mps_hazards.UnsupportedError as reason:
        print(" ".join(str(reason).split()), file=sys.stderr)  # noqa: T201
        return UNSUPPORTED
    return 0


def serve() -> None:
    """Run what stdin names until it ends."""
    # Whatever a library prints must not look like an answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(_answer(*line.split())) + "\n")
            answers.flush()
            gc.collect()  # the tensors of the last function, while nothing is compared


def _answer(function: str, device: str) -> dict[str, object]:
    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            code = main(function, device)
    except Exception as error:  # noqa: BLE001  (told to the parent, which tries again in a new process)
        return {"code": 1, "text": f"{type(error).__name__}: {error}"}
    return {"code": code, "text": words.getvalue().strip()}


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(main(*sys.argv[1:]))
