"""Writes a file completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

# A full disk, an exhausted quota, and a file at the shell's size limit.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that nobody ever sees half of it, not even after a crash.

    Missing folders are created. Raises ``OSError`` as the file system does; an old file then stays.
    """
    with replacing(path) as stream:
        stream.write(text)


@contextlib.contextmanager
def replacing(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Yield a stream whose content replaces the file at ``path`` when the body succeeds.

    The text is written to a temporary file in the same folder, flushed to the disk and then renamed.
    Missing folders are created. Raises ``OSError`` as the file system does. An old file stays after
    an error, also one of the body. ``newline`` is that of ``open``. A device or a pipe is written to,
    never replaced, and a link keeps its place: the file that it names is replaced.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline=newline) as stream:
            yield stream
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files for the owner only; a report is for sharing, so follow the umask.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # noqa: PTH101  (a plain name, no Path at hand)
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        # Also on Ctrl+C: remove the temporary file, then let the exception through.
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
