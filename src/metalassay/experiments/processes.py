"""Starts the process that measures an experiment, or pytest for a test, and ends it whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metalassay import minder
from metalassay.errors import UserError
from metalassay.fields import FieldError, parse_json


class ProcessFailedError(UserError):
    """The process of an experiment failed; other experiments may still run."""


_AT_LEAST = 120.0  # seconds beyond its time until a process that has not ended is ended


def lines(message: str, left: float) -> Iterator[Mapping[str, Any]]:
    """Yield what ``child`` prints for a message. Raises ``ProcessFailedError`` if it fails.

    It begins no round after ``left`` seconds; one that has not ended after twice as many hangs, and is ended.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", "metalassay.experiments.child", message]
    with _running(command, left + max(left, _AT_LEAST)) as child:
        assert child.stdout is not None  # noqa: S101
        for line in child.stdout:
            with contextlib.suppress(FieldError):  # a library that prints
                entry = parse_json(line)
                if isinstance(entry, dict):
                    yield entry
        if child.wait():
            raise ProcessFailedError(
                f"the process of the experiment ended with {child.returncode}",
                "its last lines are above; run the same command again",
            )


def tested(node: Path, left: float) -> str:
    """Run one test of the compatibility suite; return what pytest printed."""
    command = [sys.executable, "-P", "-m", "pytest", str(node), "-q", "-rs"]
    command += ["-p", "no:cacheprovider", "--tb=short"]
    with _running(command, left) as child:
        assert child.stdout is not None  # noqa: S101
        return child.stdout.read()


@contextlib.contextmanager
def _running(command: Sequence[str], seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Start a process in a session of its own, so that Ctrl+C reaches us alone; end it after ``seconds``."""
    process = minder.start(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        group=True,
    )
    timer = threading.Timer(seconds, _kill, [process])
    timer.daemon = True
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        minder.forget(process.pid)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process with those that it started, if it has not ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
