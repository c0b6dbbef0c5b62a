"""Reads and writes the files that a user names: only regular ones, and written completely or not at all.

A pipe or a device would be waited for or read for ever, and a file put in its place would destroy it, so
both are refused. Errors of the file system are ``OSError``, whose reason is the end of a sentence; the
``read_`` functions make the ``UserError`` of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from metalassay.errors import UserError, cannot_write, reason
from metalassay.fields import one_line, printable

# A full disk, an exhausted quota, and a file at the shell's size limit.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

MOST = 256 * 2**20  # bytes of a file that is read as a whole
_NAME = 50  # characters of a name within that of its temporary file: 255 bytes are a name's limit


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, in binary; a link to one is one.

    Raises ``OSError``, also for a pipe, a socket, a device and a folder, which are not waited for.
    """
    _refuse_irregular(path)  # opening a device can do something
    # What took the place of the file since then must not be waited for either.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _irregular(path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def open_to_append(path: Path) -> FileIO:
    """Open a regular file, there or not, to append bytes, without a buffer.

    Raises ``OSError``, also for a pipe and a device.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(_target(path), flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _irregular(path)
        return FileIO(handle, "ab")
    except BaseException:
        os.close(handle)
        raise


def content(path: Path, most: int = MOST) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes. Raises ``OSError`` otherwise."""
    with open_regular(path) as stream:
        return _at_most(stream, most, str(path))


def _at_most(stream: BinaryIO, most: int, name: str) -> bytes:
    # The size is not asked for: files of /proc have none, and one can grow meanwhile.
    read = stream.read(most + 1)
    if len(read) > most:
        raise OSError(errno.EINVAL, f"larger than {most / 2**20:,.0f} MiB", name)
    return read


def read_bytes(path: Path, next_step: str, *, most: int = MOST, or_stdin: bool = False) -> bytes:
    """Return the content of a file that the user named; with ``or_stdin``, "-" is standard input.

    Raises ``UserError`` with ``next_step`` for what cannot be read, is not a regular file, or has more
    than ``most`` bytes.
    """
    try:
        if or_stdin and str(path) == "-" and sys.stdin is not None:
            return _at_most(sys.stdin.buffer, most, "standard input")
        return content(path, most)
    except OSError as error:
        raise cannot_read(path, error, next_step) from None


def read_text(path: Path, next_step: str, *, most: int = MOST, encoding: str = "utf-8") -> str:
    """Return the text of a file that the user named. Raises ``UserError`` as ``read_bytes`` does."""
    return _decoded(path, next_step, read_bytes(path, next_step, most=most), encoding)


def read_json(path: Path, next_step: str, *, most: int = MOST) -> Any:
    """Return the value in a JSON file that the user named. Raises ``UserError`` as ``read_text`` does."""
    return _parsed(path, next_step, "JSON", json.loads, read_text(path, next_step, most=most))


def read_toml(path: Path, next_step: str, *, most: int = MOST) -> dict[str, Any]:
    """Return the table of a TOML file that the user named. Raises ``UserError`` as ``read_text`` does."""
    text = read_text(path, next_step, most=most)
    table: dict[str, Any] = _parsed(path, next_step, "TOML", _toml, text)
    return table


def cannot_read(path: object, error: Exception, next_step: str) -> UserError:
    """Return the error for a file that could not be read."""
    return UserError(f"cannot read {_shown(path)}: {reason(error)}", next_step)


def _decoded(path: Path, next_step: str, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{_shown(path)} is not text in UTF-8 (byte {error.start:,})", next_step
        ) from None


def _parsed(path: Path, next_step: str, kind: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except RecursionError:
        raise UserError(f"{_shown(path)}: its {kind} is nested too deeply", next_step) from None
    except ValueError as error:  # also a number of more digits than Python reads
        raise UserError(f"{_shown(path)} is not {kind}: {_short(error)}", next_step) from None


# The parser takes the square of a dotted key's length: 200 KB of it hang. No key of a person is so long.
_DOTTED = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){100}")


def _toml(text: str) -> dict[str, Any]:
    if _DOTTED.search(text):
        raise RecursionError
    return tomllib.loads(text)


def _shown(path: object) -> str:
    return one_line(printable(str(path)))


def _short(error: Exception) -> str:
    text = one_line(printable(str(error)))
    return text if len(text) <= 200 else f"{text[:200]}..."


def check_writable(path: Path, next_step: str) -> None:
    """Raise ``UserError`` if a file could not be written to ``path``, before its content is made.

    Tries it in the folder, or in the nearest one that is there, and leaves nothing behind.
    """
    try:
        target = _target(path)
        folder = target.parent
        while not folder.exists() and folder.parent != folder:
            folder = folder.parent
        handle, name = tempfile.mkstemp(dir=folder, prefix=".metalassay.", suffix=".part")
        os.close(handle)
        os.unlink(name)  # noqa: PTH108
    except OSError as error:
        raise cannot_write(_shown(path), error, next_step) from None


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that nobody ever sees half of it, not even after a crash.

    Missing folders are created. Raises ``OSError`` as ``replacing`` does; an old file then stays.
    """
    with replacing(path) as stream:
        stream.write(text)


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it. Raises ``OSError`` as the file system does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except RecursionError:  # pathlib goes up one call per folder; nothing has been made yet
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(folder)) from None


def write_or_error(path: Path, text: str, next_step: str) -> UserError | None:
    """Write as ``write_atomically`` does; return the error, to be raised when the answer has been printed.

    What took minutes to measure is not lost with the file that it could not be written to.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        return cannot_write(_shown(path), error, next_step)
    return None


@contextlib.contextmanager
def replacing(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Yield a stream whose content replaces the file at ``path`` when the body succeeds.

    The text is written to a temporary file in the same folder, flushed to the disk and then renamed.
    Missing folders are created. Raises ``OSError`` as the file system does, and for what is not a
    regular file. An old file stays after an error, also one of the body. ``newline`` is that of
    ``open``. A link keeps its place: the file that it names is replaced.
    """
    path = _target(path)
    make_folder(path.parent)
    _clear_torn(path)
    handle, name = _temporary(path)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            # mkstemp makes files for the owner only; a report is for sharing, so follow the umask.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # noqa: PTH101  (a plain name, no Path at hand)
            os.replace(name, path)  # noqa: PTH105  (before it is closed, which ends its lock)
    except BaseException:
        # Also on Ctrl+C: remove the temporary file, then let the exception through.
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def _temporary(path: Path) -> tuple[int, str]:
    """Make the file that will replace ``path``, and lock it: a lock ends with the process that holds it."""
    while True:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:_NAME]}.", suffix=".part"
        )
        with contextlib.suppress(OSError):  # a file system without locks; there nothing is cleared
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # taken for a torn one before it had its lock


def _clear_torn(path: Path) -> None:
    """Remove what killed processes left of files for ``path``: those that nobody has locked."""
    form = re.compile(rf"\.{re.escape(path.name[:_NAME])}\.\w{{8}}\.part")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        torn = [entry.path for entry in entries if form.fullmatch(entry.name)]
        for name in torn:
            # Another process may be faster, and what lies there may be somebody else's or no file.
            with contextlib.suppress(OSError), open_regular(Path(name)) as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name)  # noqa: PTH108


def _target(path: Path) -> Path:
    """Return the file to replace: what ``path`` names or, as a link, leads to, there or not."""
    try:
        _refuse_irregular(path)
    except FileNotFoundError:
        if not path.name:  # an empty path, or a root that is not there
            raise
    return Path(os.path.realpath(path))


def _refuse_irregular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except ValueError:  # a null character, which no name has
        raise OSError(errno.EINVAL, "not the name of a file", str(path)) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise _irregular(path)


def _irregular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))
