"""The folder of a run: held by one process, cleared of what a dead one left, and what is in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError
from metalassay.training import checkpoint
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.folder_lock import locked

# What is written under another name before it is renamed: a checkpoint, and a file of a run.
_UNFINISHED = re.compile(r"\.(step-\d+|log\.jsonl|result\.json|tokenizer\.json)\..+\.part")


@dataclass(frozen=True)
class RunFolder:
    """A folder that this process holds; ``found`` is the checkpoint to go on from, if any."""

    path: Path
    found: Checkpoint | None


@contextlib.contextmanager
def opened(folder: Path, resume: bool, say: Callable[[str], None]) -> Iterator[RunFolder]:
    """Hold ``folder`` for a run that goes on from its newest checkpoint, or for a new one.

    Nothing of the run is to be read or made before: another run may be writing, and what costs
    minutes to make should not be made for a folder that cannot be written. Raises ``UserError`` as
    ``locked`` does, and for a folder that already holds a run unless ``resume``.
    """
    with locked(folder):
        if os.name == "posix":  # elsewhere nothing is held, and another process may be writing it
            _remove_unfinished(folder)
        if not resume and any(folder.glob("step-*")):
            raise UserError(
                f"{folder} already holds a run", "go on with --resume, or choose another --output"
            )
        found = checkpoint.newest(folder, say) if resume else None
        if resume and found is None:
            say(f"nothing to resume in {folder}; starting at step 0")
        yield RunFolder(folder, found)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed had half-written; it is no more, since we hold the lock."""
    for path in folder.iterdir():
        if not _UNFINISHED.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
