"""Runs a function in several processes that form a gloo group on the loopback interface.

For bugs that need more than one process. On Linux the ranks are forked by a fork server that has imported
torch and accelerate and done nothing else, so the imports are paid once and no threads are inherited. On
macOS each rank is a new process that imports them itself: the system's frameworks, which torch loads, do
not survive a fork without exec (Python's documentation of multiprocessing, "Contexts and start methods").
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

# Constructing DDP or an optimizer imports torch._dynamo, and with it sympy.
PRELOAD = ("torch", "torch.distributed", "torch._dynamo", "accelerate", "datasets")

START_METHOD = "METALASSAY_START_METHOD"
"""The variable that chooses another start method of multiprocessing: "spawn" rehearses a Mac on Linux."""


class RankFailedError(Exception):
    """A rank raised, died or hung; the message describes how each rank ended, one per line."""


@dataclass(frozen=True)
class Outcome:
    """How one rank ended: with a ``value``, or with an ``error`` message."""

    value: Any = None
    error: str | None = None


def start_method() -> str:
    """Return how multiprocessing starts the ranks here."""
    usual = "spawn" if sys.platform == "darwin" else "forkserver"
    return os.environ.get(START_METHOD) or usual


@functools.cache
def _context(
    method: str,
) -> Any:  # a BaseContext; typeshed hides its classes behind platform checks
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(PRELOAD))
    return context


def run(
    body: Callable[..., Any],
    *arguments: Any,
    world_size: int = 2,
    patches: Sequence[str] = (),
    limit: float = 60.0,
) -> list[Outcome]:
    """Call ``body(*arguments)`` in every rank and return one ``Outcome`` per rank.

    ``body`` must be a module-level function, its result and arguments picklable. ``patches`` names
    the modules of ``metalassay.patches`` that are active in the ranks. The usual variables (RANK,
    WORLD_SIZE, MASTER_PORT, …) are set; ``Accelerator(cpu=True)`` reads them. Whatever still runs
    after ``limit`` seconds is killed and counts as hung.
    """
    context = _context(start_method())
    port = _free_port()
    ends, processes = [], []
    for rank in range(world_size):
        receiver, sender = context.Pipe(duplex=False)
        environment = _environment(rank, world_size, port)
        process = context.Process(
            target=_rank, args=(sender, environment, list(patches), body, arguments)
        )
        process.start()
        sender.close()
        ends.append(receiver)
        processes.append(process)
    try:
        return _collect(ends, limit)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()


def values(outcomes: Sequence[Outcome]) -> list[Any]:
    """Return the values of all ranks. Raises ``RankFailedError`` if any of them failed."""
    if any(outcome.error is not None for outcome in outcomes):
        raise RankFailedError(
            "\n".join(
                f"rank {rank}: {outcome.error or f'returned {outcome.value!r}'}"
                for rank, outcome in enumerate(outcomes)
            )
        )
    return [outcome.value for outcome in outcomes]


def _collect(ends: Sequence[Connection], limit: float) -> list[Outcome]:
    deadline = time.monotonic() + limit
    outcomes = [Outcome(error=f"hung: did not answer within {limit:g} s")] * len(ends)
    open_ends = list(ends)
    while open_ends and (left := deadline - time.monotonic()) > 0:
        ready = wait(open_ends, timeout=left)
        for end in [end for end in open_ends if end in ready]:
            try:
                outcomes[ends.index(end)] = end.recv()
            except (EOFError, ConnectionError):
                outcomes[ends.index(end)] = Outcome(error="died without an answer")
            open_ends.remove(end)
    return outcomes


def _rank(
    sender: Connection,
    environment: dict[str, str],
    patches: Sequence[str],
    body: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    os.setpgid(0, 0)  # so that the workers that a rank starts end with it
    os.environ.update(environment)
    try:
        with ExitStack() as stack:
            for name in patches:
                stack.enter_context(importlib.import_module(f"metalassay.patches.{name}").patch())
            outcome = Outcome(value=body(*arguments))
    except Exception as error:  # noqa: BLE001  (passed on: the caller decides what it means)
        outcome = Outcome(error=f"{type(error).__name__}: {error}")
    sender.send(outcome)
    sender.close()
    # Neither wait for the other ranks nor tear the group down: both may hang.
    os._exit(0)


def _environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo0" if os.uname().sysname == "Darwin" else "lo",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
