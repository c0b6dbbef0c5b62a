"""The folder of a run: locked by one process, and cleaned of what a killed one left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from metalassay import files
from metalassay.errors import UserError
from metalassay.files import NO_ROOM
from metalassay.training import checkpoint
from metalassay.training.checkpoint import Checkpoint

LOCK = ".lock"
RESULT = "result.json"
CALIBRATION = "calibration.json"
# The pid has a file of its own, since some releases of filelock empty the lock file on opening it.
HOLDER = ".lock.pid"
# Seconds. Long enough to try again if the holder removes the lock file as we open it.
_LOCK_TIMEOUT = 0.2
# Names of files and checkpoints before they are complete and renamed.
_UNFINISHED = re.compile(
    r"\.(step-\d+|log\.jsonl|result\.json|tokenizer\.json|profile\.json|trace\.json\.gz|calibration\.json"
    r"|predictions\.csv)\..+\.part"
)


@dataclass(frozen=True)
class RunFolder:
    """A folder that this process has locked; ``resumed`` is the checkpoint to resume from, if any."""

    path: Path
    resumed: Checkpoint | None


@contextlib.contextmanager
def opened(folder: Path, resume: bool, notify: Callable[[str], None]) -> Iterator[RunFolder]:
    """Lock ``folder`` for a new run, or for one that resumes from the newest checkpoint there.

    Open the folder before reading or creating anything for the run: another run may be writing, and
    work of minutes is not wasted on a folder that cannot be written. Raises ``UserError`` like
    ``locked``, for a folder that already holds a run unless ``resume`` is set, and with ``resume`` for one
    without an intact checkpoint: a run from step 0 is not what was asked for.
    """
    with locked(folder):
        _remove_unfinished(folder)
        holds_a_run = any(folder.glob("step-*"))
        if not resume and holds_a_run:
            raise UserError(
                f"{folder} already holds a run",
                "continue it with --resume, or choose another --output",
            )
        newest = checkpoint.newest(folder, notify) if resume else None
        if resume and newest is None:
            if holds_a_run:
                raise UserError(
                    f"no checkpoint in {folder} can be resumed from",
                    "restore one, or start again in another --output folder",
                )
            raise UserError(
                f"nothing to resume in {folder}: it has no checkpoint",
                "start the run: the same command without --resume",
            )
        yield RunFolder(folder, newest)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for this process; the operating system drops the lock when the process ends.

    Missing folders are created, and removed again if nothing was written into them. Raises
    ``UserError`` if another process holds the lock, and if the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            created = [path for path in (folder, *folder.parents) if not path.exists()]
            files.make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):  # an existing lock file may be writable
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
            stack.enter_context(FileLock(folder / LOCK, timeout=_LOCK_TIMEOUT))
            stack.callback(_clean_up, folder, created)  # before the lock is released
            (folder / HOLDER).write_text(str(os.getpid()), encoding="ascii")
        except Timeout as error:
            holder = _holder(folder)
            process = f"process {holder}" if holder else "another process"
            raise UserError(
                f"{folder} is in use by a run in {process}",
                f"wait until {process} ends, or choose another --output",
            ) from error
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            not_a_folder = isinstance(error, FileExistsError)
            raise UserError(
                f"cannot write to {folder}: {'not a folder' if not_a_folder else error.strerror}",
                "choose another --output",
            ) from error
        yield


def _holder(folder: Path) -> str | None:
    """Return the pid of the process that locked ``folder``, None if it is not recorded."""
    try:
        pid = (folder / HOLDER).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return pid if pid.isdigit() else None


def _clean_up(folder: Path, created: list[Path]) -> None:
    """Remove the pid; in a folder with nothing else, also the lock and the ``created`` folders."""
    with contextlib.suppress(OSError):
        (folder / HOLDER).unlink(missing_ok=True)
        if {path.name for path in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            for path in created:  # the innermost first
                path.rmdir()


def _remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of a killed process, which cannot be running: we hold its lock."""
    for path in folder.iterdir():
        if not _UNFINISHED.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
