"""Write the monitor's log: CPU use and free memory every few seconds, like the script in guide 000.

One JSON object per line; ``metalassay.supervise.monitor_log`` reads it and defines the fields.
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

from metalassay import files
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.machine import gpu_load, hardware, macos
from metalassay.supervise import program_memory
from metalassay.supervise.machine_load import CpuClock, free_memory
from metalassay.supervise.monitor_log import SCHEMA

LONGEST = 86400.0  # seconds between two rows


class MonitorFile:
    """A context manager that opens a monitor's log, with its header, and appends rows to it.

    ``option`` is how the user named the file, for messages. A file that exists is an error, unless
    ``append`` is set. Raises ``UserError``, before anything is written, if the file cannot be written.
    """

    def __init__(
        self, path: Path, seconds: float, *, append: bool = False, option: str = "--monitor"
    ) -> None:
        check_interval(seconds)
        self.path, self.seconds, self.append, self.option = path, seconds, append, option

    def __enter__(self) -> MonitorFile:
        try:
            existed = self.path.exists()
            self._stream = self._open()
            with contextlib.ExitStack() as undo:
                if not existed:
                    undo.callback(self.path.unlink)  # leave no partial first line behind
                undo.callback(self._stream.close)
                self._begin()
                undo.pop_all()
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}", f"choose another {self.option} FILE"
            ) from error
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row, with its time. Raises ``OSError``, as for a full disk, or where somebody removed the log."""
        self.path.stat()  # what is written to a file without a name is lost
        self._write({"t": round(time.monotonic() - self._began, 3), "time": _now(), **row})

    def _open(self) -> FileIO:
        folder = self.path.parent
        if not folder.exists():
            raise UserError(
                f"cannot write {self.path}: the folder {folder} does not exist",
                f"{shlex.join(['mkdir', '-p', str(folder)])}, or choose another {self.option} FILE",
            )
        if not self.path.exists():
            return self.path.open("xb", buffering=0)
        if self.path.is_dir():
            raise UserError(
                f"{self.path} is a folder", f"{self.option} {self.path / 'monitor.jsonl'}"
            )
        if not self.append:
            raise UserError(f"{self.path} already exists", f"choose another {self.option} FILE")
        _cut_torn_line(self.path)
        return files.open_to_append(self.path)

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
        """Write a line in one call, so that a reader, or a kill, sees all of it or nothing."""
        self._stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


class Monitor:
    """A context manager that appends a row to ``path`` every ``seconds``.

    ``paused`` returns for how many seconds a CPU limiter has paused the program so far. Pass
    ``include_self=False`` if the program is a child, so that this process is not counted. The file is
    a `MonitorFile`.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        *,
        paused: Callable[[], float] = lambda: 0.0,
        include_self: bool = True,
        append: bool = False,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._file = MonitorFile(path, seconds, append=append)
        self.paused, self.include_self, self.notify = paused, include_self, notify
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self._file.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()
        self._file.__exit__()

    def _watch(self) -> None:
        # Look for children at every row: the time of one that is found late would count in one row.
        clock = CpuClock(include_self=self.include_self, look_every=0)
        paused = self.paused()
        psutil.cpu_percent()  # the first call returns the average since boot
        try:
            while not self._stop.wait(self._file.seconds):
                before, paused = paused, self.paused()
                program = clock.children()
                if self.include_self:
                    program = [*program, psutil.Process()]
                memory = program_memory.of(program)
                self._file.write(row(clock.share(), memory, throttled=paused > before))
        except OSError as error:  # a full disk ends the log, not the program
            self.notify(f"{self._file.path} ends here: {error.strerror}")


def row(share: float | None, memory: int | None = None, throttled: bool = False) -> dict[str, Any]:
    """Return how busy the machine is now, and ``share`` and ``memory`` of the program.

    The CPU use is that since the last call of ``psutil.cpu_percent``. On a Mac the row also has the memory in
    which the system keeps compressed pages, of all programs; and where a GPU tells, how busy it is with all of them.
    """
    found: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "own_cpu_percent": None if share is None else round(100 * share, 1),
        "memory_free_percent": round(100 * free_memory(), 1),
        "swap_bytes": psutil.swap_memory().used,
        "throttled": throttled,
    }
    if memory is not None:
        found["program_memory_bytes"] = memory
    if (compressed := macos.compressed()) is not None:
        found["compressed_bytes"] = compressed
    if (gpu := gpu_load.read()) is not None:
        found["gpu_percent"] = gpu
    return found


def check_interval(seconds: float) -> None:
    """Raise ``UserError`` for a time between two rows that makes no sense."""
    if not 0 < seconds <= LONGEST:
        raise UserError(
            f"cannot log every {seconds:g} s",
            "choose an --every of more than 0 s and at most one day",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _cut_torn_line(path: Path) -> None:
    """Drop what follows the last newline: a line that a kill, or a full disk, cut off.

    Raises ``UserError`` for a file that no monitor wrote: it belongs to somebody else.
    """
    content = files.content(path)
    first = json.dumps({"schema": SCHEMA})[:-1].encode()  # how every log begins
    if not content.startswith(first[: len(content)]):
        raise UserError(f"{path} is not a monitor log", "choose another --monitor FILE")
    os.truncate(path, content.rfind(b"\n") + 1)
