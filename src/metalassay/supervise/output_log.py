"""Keep a program's output in a file: a time and the stream before each line, and old parts rotated away.

Lines that a progress bar draws over (they end in a carriage return) are kept at most every ten seconds.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from metalassay import files
from metalassay.errors import UserError

LARGEST = 20 * 2**20  # bytes of a file; then a new one is begun
KEPT = 5  # older files, FILE.1 to FILE.5
PROGRESS_EVERY = 10.0  # seconds between two kept states of a progress bar
_LONGEST_LINE = 65536  # bytes; a program that writes no newline must not fill the memory


class OutputLog:
    """A log of what a program writes, and of what is said about it; all methods may come from any thread.

    A file that exists is continued. ``notify`` is told once if it can no longer be written: a full disk
    ends the log, not the program. Raises ``UserError`` if the file cannot be written at the start.
    """

    def __init__(
        self, path: Path, notify: Callable[[str], None], *, largest: int = LARGEST
    ) -> None:
        self.path, self._notify, self._largest = path, notify, largest
        self._lock = threading.Lock()
        self._open_lines: dict[str, bytearray] = {}
        self._drawn: dict[str, float] = {}
        self._failed = False
        if path.is_dir():
            raise UserError(f"--log {path} is a folder", f"--log {path / 'run.log'}")
        if not path.parent.exists():
            raise UserError(
                f"cannot write {path}: the folder {path.parent} does not exist",
                f"{shlex.join(['mkdir', '-p', str(path.parent)])}, or choose another --log FILE",
            )
        try:
            self._stream = files.open_to_append(path)
            self._size = path.stat().st_size
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {error.strerror}", "choose another --log FILE"
            ) from error

    def close(self) -> None:
        """Write what no newline ended, and close the file."""
        with self._lock:
            for stream, line in self._open_lines.items():
                if line:
                    self._line(stream, bytes(line))
            self._open_lines = {}
            self._stream.close()
            self._failed = True  # nothing may be written from now on

    def say(self, text: str) -> None:
        """Write a line about the program, or several."""
        with self._lock:
            for line in text.splitlines():
                self._line("run", line.encode())

    def write(self, stream: str, data: bytes) -> None:
        """Write what the program wrote to ``stream``; a part of a line waits for its end."""
        with self._lock:
            line = self._open_lines.setdefault(stream, bytearray())
            for part in data.replace(b"\r\n", b"\n").splitlines(keepends=True):
                line += part.rstrip(b"\r\n")
                if part.endswith(b"\n") or len(line) > _LONGEST_LINE:
                    self._line(stream, bytes(line))
                    line.clear()
                elif part.endswith(b"\r"):
                    self._progress(stream, bytes(line))
                    line.clear()

    def _progress(self, stream: str, line: bytes) -> None:
        now = time.monotonic()
        if line.strip() and now - self._drawn.get(stream, -PROGRESS_EVERY) >= PROGRESS_EVERY:
            self._drawn[stream] = now
            self._line(stream, line)

    def _line(self, stream: str, line: bytes) -> None:
        if self._failed:
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = f"{moment} {stream:<3} | ".encode() + line + b"\n"
        try:
            if self._size + len(data) > self._largest and self._size:
                self._rotate()
            self._stream.write(data)
            self._size += len(data)
        except OSError as error:
            self._failed = True
            self._notify(f"{self.path} ends here: {error.strerror}")

    def _rotate(self) -> None:
        """Move FILE to FILE.1, FILE.1 to FILE.2 and so on; the oldest is dropped."""
        self._stream.close()
        names = [self.path, *(Path(f"{self.path}.{number}") for number in range(1, KEPT + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        self._stream = files.open_to_append(self.path)
        self._size = 0
