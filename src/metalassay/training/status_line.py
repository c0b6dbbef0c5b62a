"""One line at the bottom of a terminal that is written again and again, and what is printed above it.

Its width is looked at each time. Nothing wraps: a line that does cannot be taken back. Where standard
error is no terminal (a file, a pipe), each state is a line of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

_FREE = 3  # columns at the end: "^C" is echoed there, and a line that is full may wrap
_UNKNOWN = 80  # columns of a terminal that does not say, as some without a window

_shown: list[StatusLine] = []


class StatusLine:
    """While entered, ``draw`` shows a line on standard error; it stays there at the end."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stderr
        self._terminal = self._stream.isatty()
        self._make: Callable[[int | None], str] | None = None
        self._length = 0  # of what stands on the terminal's line now
        self._lock = threading.RLock()  # a monitor's thread prints as well

    def __enter__(self) -> StatusLine:
        _shown.append(self)
        return self

    def __exit__(self, *failure: object) -> None:
        """End the line, so that what is printed next has one of its own."""
        _shown.remove(self)
        with self._lock:
            if self._length:
                print(file=self._stream, flush=True)
            self._length, self._make = 0, None

    def draw(self, make: Callable[[int | None], str]) -> None:
        """Show what ``make`` returns for a number of columns; None are any number."""
        with self._lock:
            self._make = make
            if self._terminal:
                self._redraw()
            else:
                print(make(None), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Print ``text`` above the line."""
        with self._lock:
            blank = f"\r{' ' * self._length}\r" if self._length else ""
            print(f"{blank}{text}", file=self._stream, flush=True)
            self._length = 0
            if self._terminal and self._make:
                self._redraw()

    def _redraw(self) -> None:
        assert self._make  # noqa: S101  (both callers have one)
        width = max(columns(self._stream) - _FREE, 1)
        line = self._make(width)[:width]
        # Blanks over the rest of a longer one, but never beyond a terminal that was made narrower.
        rest = max(min(self._length, width) - len(line), 0)
        self._stream.write(f"\r{line}{' ' * rest}")
        self._stream.flush()
        self._length = len(line)


def say(text: str) -> None:
    """Print ``text`` on standard error, above the line that is shown there, if one is."""
    if _shown:
        _shown[-1].say(text)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def columns(stream: TextIO) -> int:
    """Return the columns of the terminal behind ``stream``."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN
    except (OSError, ValueError):  # no terminal; a stream without a file
        return _UNKNOWN
