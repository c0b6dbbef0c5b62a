"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader, or a crash, never sees half of it.

    Missing folders are made. Raises ``OSError`` as the file system does; the old file then stands.
    """
    with replacing(path) as stream:
        stream.write(text)


@contextlib.contextmanager
def replacing(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Give a stream to write; what was written stands at ``path`` when all went well.

    The text goes to a temporary file in the same folder, reaches the disk, and is then renamed.
    Missing folders are made. Raises ``OSError`` as the file system does; the old file then stands,
    as it does when the body raises. ``newline`` is that of ``open``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files for the owner alone; a report is for sharing, so ask the umask.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # noqa: PTH101  (a plain name, no Path at hand)
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        # Also on Ctrl+C: leave nothing behind, then let it through.
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
