"""Writes the monitor's log: CPU and free memory every few seconds, as guide 000 has a script do.

One JSON object a line; ``metalassay.supervise.monitor_log`` reads it and says what the fields mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import psutil

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.machine import hardware
from metalassay.supervise.machine_load import CpuClock, memory

SCHEMA = "metalassay.monitor/1"
LONGEST = 86400.0  # seconds between two rows


class Monitor:
    """While entered, adds a row to ``path`` every ``seconds``.

    ``paused`` returns the seconds that a governor has held the program back so far. ``own`` is false
    where the program is a child, and this process no part of it. A file that is there already is an
    error, unless ``go_on``: then it is continued. Raises ``UserError``, before anything is written,
    where it cannot be.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        *,
        paused: Callable[[], float] = lambda: 0.0,
        own: bool = True,
        go_on: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        if not 0 < seconds <= LONGEST:
            raise UserError(
                f"a line every {seconds:g} s",
                "ask with --every for more than 0 s and at most a day",
            )
        self.path, self.seconds, self.paused, self.go_on = path, seconds, paused, go_on
        self.own, self.say = own, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        try:
            found = self.path.exists()
            self._stream = self._open()
            with contextlib.ExitStack() as undo:
                if not found:
                    undo.callback(self.path.unlink)  # no half of a first line stays behind
                undo.callback(self._stream.close)
                self._begin()
                undo.pop_all()
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}", "name another --monitor FILE"
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()
        self._stream.close()

    def _open(self) -> FileIO:
        folder = self.path.parent
        if not folder.exists():
            raise UserError(
                f"cannot write {self.path}: there is no folder {folder}",
                f"{shlex.join(['mkdir', '-p', str(folder)])}, or name another --monitor FILE",
            )
        if not self.path.exists():
            return self.path.open("xb", buffering=0)
        if self.path.is_dir():
            raise UserError(f"{self.path} is a folder", f"--monitor {self.path / 'monitor.jsonl'}")
        if not self.go_on:
            raise UserError(
                f"{self.path} is there already", "name another file with --monitor FILE"
            )
        _cut_torn_line(self.path)
        return self.path.open("ab", buffering=0)

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._write(
            {
                "schema": SCHEMA,
                "started": _now(),
                "every": self.seconds,
                "versions": versions.installed(("metalassay", "torch", "psutil")),
                "hardware": hardware.as_dict(hardware.probe()),
            }
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        """Write a line in one go: what reads meanwhile, or a kill, finds it whole or not at all."""
        self._stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _watch(self) -> None:
        # A child that is found late would be charged to one row with what it did in those before.
        clock, paused = CpuClock(own=self.own, look=0), self.paused()
        psutil.cpu_percent()  # the first answer counts from the start of the machine
        try:
            while not self._stop.wait(self.seconds):
                before, paused = paused, self.paused()
                self._write(
                    {
                        "t": round(time.monotonic() - self._began, 3),
                        "time": _now(),
                        "cpu_percent": psutil.cpu_percent(),
                        "own_cpu_percent": round(100 * clock.share(), 1),
                        "memory_free_percent": round(100 * memory().free, 1),
                        "swap_bytes": psutil.swap_memory().used,
                        "throttled": paused > before,
                    }
                )
        except OSError as error:  # a full disk ends the log, not the program that it watches
            self.say(f"{self.path} ends here: {error.strerror}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _cut_torn_line(path: Path) -> None:
    """Drop what stands behind the last newline: the line that a kill, or a full disk, cut off.

    Raises ``UserError`` for a file that no monitor wrote, which is somebody's.
    """
    content = path.read_bytes()
    first = json.dumps({"schema": SCHEMA})[:-1].encode()  # as it stands at the start of a log
    if not content.startswith(first[: len(content)]):
        raise UserError(f"{path} is no monitor's log", "name another file with --monitor FILE")
    os.truncate(path, content.rfind(b"\n") + 1)
