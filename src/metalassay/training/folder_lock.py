"""One run a folder: two that write checkpoints into the same one would take each other's."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from metalassay.errors import UserError
from metalassay.files import NO_ROOM

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; the lock goes with the process, however it ends.

    Missing folders are made, and removed again where nothing was written into them. Raises
    ``UserError`` where another process holds it, and where nothing can be written. Without flock
    (Windows) nothing is held.
    """
    with contextlib.ExitStack() as stack:
        try:
            made = [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):  # a lock from before says nothing of it
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
            if os.name == "posix":
                stack.enter_context(_hold(folder / LOCK))
        except BlockingIOError as error:
            raise UserError(
                f"another run is writing to {folder}", "wait for it, or choose another --output"
            ) from error
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            no_folder = isinstance(error, FileExistsError)
            raise UserError(
                f"cannot write to {folder}: {'not a folder' if no_folder else error.strerror}",
                "choose another --output",
            ) from error
        stack.callback(_leave, folder, made)  # before the lock is given up
        yield


def _hold(path: Path) -> TextIO:
    import fcntl

    while True:
        stream = path.open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()  # whoever held it has removed it as we opened it: a new one is needed


def _leave(folder: Path, made: list[Path]) -> None:
    """Remove the lock from a folder that holds nothing else, and the folders ``made`` for it."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            for each in made:  # the innermost first
                each.rmdir()
