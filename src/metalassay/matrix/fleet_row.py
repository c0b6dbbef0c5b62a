"""The process of one row on a worker of a fleet: reads an order, runs the row, leaves its result in a file.

It is started from the client's sources. Its standard input is the line to the worker: the first line is the
order, and when the line is cut, because the worker gave the row up or died, everything here ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.matrix import bench, matrix_file, run_row
from metalassay.matrix.run_row import Options, Outcome

_GRACE = 3.0  # seconds for the row to stop its tests; an installer knows no stop, and is killed


def main() -> int:
    """Run the order on standard input, and return the exit code."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 1  # the worker was gone before it had finished the sentence
    order = json.loads(line)
    stop = threading.Event()
    threading.Thread(target=_end_with, args=[sys.stdin.fileno(), stop], daemon=True).start()
    try:
        record = perform(order, stop)
    except run_row.StoppedError:
        return 1
    write_atomically(Path(order["result"]), json.dumps(record))
    return 0


def perform(order: Mapping[str, Any], stop: threading.Event) -> dict[str, Any]:
    """Run an order; return "outcome" with the fields of ``Outcome``, or "error" and "next".

    Its fields are "row", or None for the benchmarks, "fresh", "strict", "arguments" and "commit" as in
    ``Options``, and the paths "root", "output" and "environments".
    """
    options = Options(
        root=Path(order["root"]),
        output=Path(order["output"]),
        environments=Path(order["environments"]),
        fresh=order["fresh"],
        strict=order["strict"],
        arguments=tuple(order["arguments"]),
        quiet=True,
        commit=order["commit"],
        stop=stop,
    )
    try:
        if order["row"] is None:
            outcome = bench.run(options)
        else:
            outcome = run_row.run(matrix_file.get(options.root, order["row"]), options)
    except UserError as error:
        return {"error": error.message, "next": error.next_step}
    return {"outcome": as_record(outcome)}


def as_record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON has it; ``fleet.outcome`` reads it."""
    when = outcome.unchanged.isoformat() if outcome.unchanged else None
    return {**dataclasses.asdict(outcome), "unchanged": when}


def _end_with(line: int, stop: threading.Event) -> None:
    # By its descriptor: Python aborts if it ends while a thread waits in a buffered stream.
    while os.read(line, 4096):
        pass
    stop.set()
    time.sleep(_GRACE)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
