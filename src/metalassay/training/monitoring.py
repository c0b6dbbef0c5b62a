"""Writes the monitor's log: CPU and free memory every few seconds, as guide 000 has a script do.

One JSON object a line; ``metalassay.monitor`` reads it and says what the fields mean.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from metalassay import hardware, versions
from metalassay.errors import UserError
from metalassay.training.machine_load import CpuClock, memory

SCHEMA = "metalassay.monitor/1"


class Monitor:
    """While entered, adds a row to ``path`` every ``seconds``.

    ``paused`` returns the seconds that a governor has held the program back so far. A file that is
    there already is an error, unless ``go_on``: then it is continued. Raises ``UserError``.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        *,
        paused: Callable[[], float] = lambda: 0.0,
        go_on: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path, self.seconds, self.paused, self.go_on = path, seconds, paused, go_on
        self.say = say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.go_on and self.path.exists():
                _cut_torn_line(self.path)
                self._stream = self.path.open("ab", buffering=0)
            else:
                if self.path.exists():
                    raise UserError(
                        f"{self.path} is there already", "name another file with --monitor FILE"
                    )
                self._stream = self.path.open("xb", buffering=0)
            self._begin()
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
        clock, paused = CpuClock(), self.paused()
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
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _cut_torn_line(path: Path) -> None:
    """Drop what stands behind the last newline: the line that a kill, or a full disk, cut off."""
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)
