"""A second process that continues stopped children if the limiter's own process is killed.

SIGKILL leaves no time to send SIGCONT, and a child that is stopped would stay stopped for ever. So a
small process keeps the pids of the stopped children; the pipe to it closes however the limiter ends.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable

# Each line lists all children that are stopped now. A line that was cut off is ignored.
_PROGRAM = """
import os, signal, sys
stopped = []
for line in sys.stdin:
    stopped = line.split() if line.endswith("\\n") else stopped
for pid in stopped:
    try:
        os.kill(int(pid), signal.SIGCONT)
    except OSError:
        pass
"""


class Watchdog:
    """Starts its process when the first child is stopped, not before."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the watchdog's process; None before it is started."""
        return self._process.pid if self._process else None

    def set_stopped(self, pids: Iterable[int]) -> None:
        """Replace the list of children that are stopped, or are about to be, with ``pids``."""
        text = " ".join(map(str, pids)) + "\n"
        if self._process is None:
            if not text.strip():
                return
            # In a session of its own it is not reached by Ctrl+C, nor by a terminal that closes.
            self._process = subprocess.Popen(  # noqa: S603  (our own lines above)
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
        assert self._process.stdin  # noqa: S101  (a pipe was asked for)
        with contextlib.suppress(BrokenPipeError):  # somebody killed the watchdog
            self._process.stdin.write(text.encode())

    def close(self) -> None:
        """End the watchdog's process; it continues whatever is still listed as stopped."""
        if self._process:
            self._process.communicate()
