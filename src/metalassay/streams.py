"""What is printed: cleaned of control characters, and lost by no full or closed output without a word.

Names of files, arguments and the text of other programs are printed in many places, and escape sequences
in them could rewrite what the terminal shows. So the streams themselves are cleaned, in one place.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from metalassay.errors import UserError, reason

# Control characters but tab and newline; "\r\n" is how a row of CSV ends.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")
# How a line of progress is drawn again, on a terminal: back to its start, erase, one line up.
_DRAWN = re.compile("(\r|\x1b\\[K|\x1b\\[A)")

# What somebody typed or pasted is quoted in messages: of that, a beginning is enough.
_LONG_WORD = re.compile(r"(\S{80})\S{1000,}")
_LONGEST = 4000


class OutputError(UserError):
    """Standard output could not be written, as on a full disk."""


class UnreadError(BrokenPipeError):
    """The reader of standard output has seen enough, as in ``| head``."""


class Printed:
    """A standard stream that writes no control characters, and tells what could not be written.

    Only a line of progress on a terminal keeps what draws it. Everything but writing is the stream's own.
    """

    def __init__(self, stream: TextIO | None, *, must_be_written: bool) -> None:
        self._stream = stream
        self._must_be_written = must_be_written
        self._drawn = stream is not None and not must_be_written and stream.isatty()

    def write(self, text: str) -> int:
        """Write ``text``; raise ``OutputError`` or ``UnreadError`` where it must be written."""
        cleaned = (
            "".join(part if _DRAWN.fullmatch(part) else clean(part) for part in _DRAWN.split(text))
            if self._drawn
            else clean(text)
        )
        with self._explained():
            if self._stream is None:
                raise OSError(errno.EBADF, "it is closed")
            self._stream.write(cleaned)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is held back; raise as ``write`` does."""
        if self._stream is not None:
            with self._explained():
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._must_be_written:
                return  # messages on stderr: there is nowhere left to say it
            if isinstance(error, BrokenPipeError):
                raise UnreadError(*error.args) from None
            raise OutputError(
                f"the output could not be written: {reason(error)}",
                "free some space, or write to another place",
            ) from None

    def __getattr__(self, name: str) -> Any:
        if self._stream is None:  # as of Python's own stream without a descriptor
            raise io.UnsupportedOperation(name)
        return getattr(self._stream, name)


def clean(text: str) -> str:
    """Return ``text`` with the replacement character for each control character but tab and newline."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text) if _CONTROL.search(text) else text


def run(command: Callable[[], int], when_unread: Callable[[], int] = lambda: 0) -> int:
    """Run ``command`` with cleaned streams and return the exit code of the process.

    That is the command's own, 2 for a ``UserError`` and an output that could not be written, and that of
    ``when_unread`` where the reader of a pipe is gone.
    """
    with _printing():
        try:
            try:
                code = command()
            except SystemExit:
                sys.stdout.flush()
                raise
            except OutputError:
                raise
            except UserError as error:
                code = failed(error)
            sys.stdout.flush()
            return code
        except OutputError as error:
            _discard()
            return failed(error)
        except UnreadError:
            _discard()
            return when_unread()


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell, as in `>&-`; a program that we start needs it too
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            os.set_inheritable(number, True)  # dup2 does not, if open() returned this very number
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if name == "stderr" else "replace")
        setattr(sys, name, Printed(stream, must_be_written=name == "stdout"))
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _discard() -> None:
    """Let nothing more be written: Python would complain once more when it flushes at exit."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failed(error: UserError) -> int:
    """Print what is wrong and the next command, on one line each, and return the exit code."""
    lines = f"metalassay: {_one_line(error.message)}\n  next: {_one_line(error.next_step)}\n"
    sys.stderr.write(lines)
    return error.exit_code


def _one_line(text: str) -> str:
    from metalassay.fields import printable  # a third of the time that --version takes

    short = _LONG_WORD.sub(r"\1...", text)
    if len(short) > _LONGEST:
        short = f"{short[:_LONGEST]}..."
    return printable(short).replace("\n", " ").replace("\t", " ")
