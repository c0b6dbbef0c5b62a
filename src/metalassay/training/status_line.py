"""One line at the bottom of a terminal that is written again and again, and what is printed above it.

tqdm keeps the line; what is in it is ours, for its figures are not a bar's. The width is looked at each
time. Nothing wraps: a line that does cannot be taken back. Where standard error is no terminal (a
file, a pipe), each state is a line of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

_FREE = 3  # columns at the end: "^C" is echoed there, and a line that is full may wrap
_UNKNOWN = 80  # columns of a terminal that does not say, as some without a window

_shown: list[StatusLine] = []


class StatusLine:
    """While entered, ``draw`` shows a line on standard error; it stays there at the end."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stderr
        self._terminal = self._stream.isatty()
        self._bar: Any = None  # tqdm's, from the first line on: it shows one as soon as it is made

    def __enter__(self) -> StatusLine:
        from tqdm import tqdm  # missing, it is said now and not at the first report

        self._make_bar = tqdm
        _shown.append(self)
        return self

    def __exit__(self, *failure: object) -> None:
        """End the line, so that what is printed next has one of its own."""
        _shown.remove(self)
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def draw(self, make: Callable[[int | None], str]) -> None:
        """Show what ``make`` returns for a number of columns; None are any number."""
        if not self._terminal:
            print(make(None), file=self._stream, flush=True)
            return
        width = max(columns(self._stream) - _FREE, 1)
        line = make(width)[:width]
        if self._bar is None:
            self._bar = self._make_bar(file=self._stream, bar_format="{desc}", desc=line)
        else:
            self._bar.set_description_str(line)

    def say(self, text: str) -> None:
        """Print ``text`` above the line."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)


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
