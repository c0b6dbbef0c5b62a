"""Programs under `metalassay run`, and what it takes to see one of them stopped."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

BUSY = "while True: pass  # the program"
SECONDS = 20  # until a test gives up
# At a hundred thousandth of the machine, and without giving up, a pause outlasts any test.
_ENDLESS_PAUSE = """
import sys
from metalassay.supervise import command, cpu_limiter
cpu_limiter.STUCK = float("inf")
from metalassay.supervise.launcher import Plan
plan = Plan(tuple(sys.argv[1:]), max_cpu=1e-5)
sys.exit(command.run(command.Options(plan, reports=False)))
"""
STOPPED = [sys.executable, "-c", _ENDLESS_PAUSE, sys.executable, "-c", BUSY]


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program without a terminal, and kill it and its children at the end."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        descendants = (
            psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        )
        # `metalassay run` has a process that clears up behind it if it is killed; let it.
        child.kill()
        _, alive = psutil.wait_procs(descendants, timeout=SECONDS)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        child.communicate()


def wait_until_stopped(limited: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the program that ``limited`` started is stopped, and return it."""
    parent, deadline = psutil.Process(limited.pid), time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for child in parent.children():
            with contextlib.suppress(psutil.Error):
                if BUSY in child.cmdline() and child.status() == psutil.STATUS_STOPPED:
                    return child
        time.sleep(0.01)
    raise AssertionError("the program was never stopped")


def wait_until_continued(process: psutil.Process) -> None:
    """Wait until ``process`` is not stopped any more; fail if it stays so."""
    deadline = time.monotonic() + SECONDS
    while process.status() == psutil.STATUS_STOPPED and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.status() != psutil.STATUS_STOPPED
