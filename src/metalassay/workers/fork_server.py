"""The process that imports once what the arms import, and is forked for each of their processes.

It builds no model and runs no operator. A fork has the memory of its parent but only the thread that
forked, so that a pool of threads that was started by an import would be missing in it: the server then
says so and ends, and every process is started by itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_TASKS = Path("/proc/self/task")


def run(
    wire: socket.socket, wanted: dict[str, Any], serve: Callable[[socket.socket], None]
) -> None:
    """Import what is wanted, say that it is ready, and fork a process that serves each socket received."""
    refused = _imports(wanted)
    wire.sendall(json.dumps({"refused": refused} if refused else {}).encode() + b"\n")
    if refused:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children leave no zombies
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(wire, 1, 1)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            wire.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                _draw_anew()
                serve(socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])
        wire.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _imports(wanted: dict[str, Any]) -> str:
    """Import, and return why this process must not be forked, "" if it may be."""
    folder = wanted["folder"]
    if folder:
        sys.path.insert(0, folder)
    for module, names in wanted["imports"]:
        if not _imported(module, names):
            break  # the process that executes the file says why
        if module == "torch":
            sys.modules["torch"].set_num_threads(1)
    if folder:
        sys.path.remove(folder)
    return unsafe()


def _imported(module: str, names: Iterable[str]) -> bool:
    try:
        taken = importlib.import_module(module)
        for name in names:
            if not hasattr(taken, name):
                importlib.import_module(f"{module}.{name}")
    except (Exception, SystemExit):  # noqa: BLE001  (any package may be broken in any way)
        return False
    return True


def unsafe() -> str:
    """Return why a fork of this process would not be what a new process is, "" if it would be.

    OpenBLAS starts its threads when it is imported, and stops them before a fork; they are none of those that
    are in the way. So threads are counted after a fork.
    """
    if threads() > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # for the threads that we count
            pid = os.fork()
        if pid == 0:
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    left = threads()
    if left > 1:
        return (
            f"what is imported has started {left - 1} thread{'s' * (left > 2)}, which no fork has"
        )
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "what is imported has initialised CUDA, which no fork can use"
    return ""


def threads() -> int:
    """Return how many threads this process has, those of C libraries included."""
    return sum(1 for _ in _TASKS.iterdir())


def _draw_anew() -> None:
    """Seed the generator that numpy keeps for everybody, as a new process does; Python seeds its own."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
