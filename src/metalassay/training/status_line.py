"""One line at the bottom of a terminal that is redrawn, and text printed above it.

tqdm draws the line; its content is ours, as tqdm's own figures are those of a plain bar. The width is
read each time. Nothing wraps, since a wrapped line cannot be redrawn. If standard error is not a
terminal (a file, a pipe), each state is printed as a line of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

_FREE = 3  # columns left free at the end: "^C" is echoed there, and a full line may wrap
_UNKNOWN = 80  # columns, if the terminal does not report them

_shown: list[StatusLine] = []


class StatusLine:
    """A context manager whose ``draw`` shows a line on standard error; the last one stays there."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stderr
        self._terminal = self._stream.isatty()
        self._bar: Any = None  # tqdm's; created with the first line, since it draws at once

    def __enter__(self) -> StatusLine:
        from tqdm import tqdm  # if it is missing, fail now and not at the first report

        self._make_bar = tqdm
        _shown.append(self)
        return self

    def __exit__(self, *failure: object) -> None:
        """End the line, so that later output begins on a new one."""
        _shown.remove(self)
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def draw(self, make: Callable[[int | None], str]) -> None:
        """Show what ``make`` returns for a number of columns; None means no limit."""
        if not self._terminal:
            print(make(None), file=self._stream, flush=True)
            return
        width = max(_columns(self._stream) - _FREE, 1)
        line = make(width)[:width]
        if self._bar is None:
            self._bar = self._make_bar(file=self._stream, bar_format="{desc}", desc=line)
        else:
            self._bar.set_description_str(line)

    def write(self, text: str) -> None:
        """Print ``text`` above the line."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)


def write(text: str) -> None:
    """Print ``text`` on standard error, above the status line if there is one."""
    if _shown:
        _shown[-1].write(text)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _columns(stream: TextIO) -> int:
    """Return the number of columns of the terminal behind ``stream``."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN
    except (OSError, ValueError):  # not a terminal, or a stream without a file
        return _UNKNOWN
