"""Asks a Python of somebody else: for a limited time, for a limited answer, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from metalassay import minder
from metalassay.errors import reason
from metalassay.fields import one_line, printable

MOST = 16 * 2**20  # bytes of an answer; that of a thousand packages has one or two
_LOOK = 0.02  # seconds between two looks at it


class NoAnswerError(Exception):
    """The interpreter did not answer; the message is the end of a sentence that begins with its name."""


def ask(
    command: Sequence[str],
    *,
    seconds: float,
    variables: Mapping[str, str] | None = None,
    most: int = MOST,
) -> str:
    """Run ``command`` and return what it printed. Raises ``NoAnswerError``.

    ``variables`` are all of its environment variables, None ours. Its output goes to files: a pipe would be
    waited for as long as any program that it started lives. Those programs are killed with it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = minder.start(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=variables,
                start_new_session=True,
                group=True,
            )
        except (OSError, ValueError) as error:
            raise NoAnswerError(f"it does not start: {reason(error)}") from None
        try:
            code = _wait(process, seconds, (out, err), most)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            minder.forget(process.pid)
        if code:
            last = _text(err).strip().splitlines()[-1:]
            said = one_line(printable(last[0]))[:200] if last else ""
            raise NoAnswerError(said or f"exit code {code}")
        return _text(out)


def _wait(
    process: subprocess.Popen[bytes], seconds: float, outputs: Sequence[BinaryIO], most: int
) -> int:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK)
        if time.monotonic() > until:
            raise NoAnswerError(f"it did not end within {seconds:g} s")
        if max(os.fstat(each.fileno()).st_size for each in outputs) > most:
            raise NoAnswerError(f"it printed more than {most / 2**20:,.0f} MiB")


def _text(file: BinaryIO) -> str:
    file.seek(0)
    content = file.read(MOST)
    return content.decode("utf-8", "replace")
