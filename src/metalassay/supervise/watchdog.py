"""A second process that sets stopped children going again if the first one is killed outright.

SIGKILL leaves no time to send SIGCONT, and a child that is stopped stays so for ever. So a small
process holds the numbers of the stopped ones; the pipe between them closes however the first ends.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable

# Each line lists all that are stopped now. One that was cut off is not believed.
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


class Sentinel:
    """Starts its process with the first child that is stopped; nothing before."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of its process, None before it has one."""
        return self._process.pid if self._process else None

    def stopped(self, pids: Iterable[int]) -> None:
        """Take note of all that are stopped, or are just about to be; none: nobody is."""
        text = " ".join(map(str, pids)) + "\n"
        if self._process is None:
            if not text.strip():
                return
            # A session of its own: Ctrl+C and a terminal that closes are not for it.
            self._process = subprocess.Popen(  # noqa: S603  (our own lines above)
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
        assert self._process.stdin  # noqa: S101  (a pipe was asked for)
        with contextlib.suppress(BrokenPipeError):  # somebody killed it; then there is none
            self._process.stdin.write(text.encode())

    def close(self) -> None:
        """End its process."""
        if self._process:
            self._process.communicate()
