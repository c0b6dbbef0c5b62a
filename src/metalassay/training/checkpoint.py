"""Write and read checkpoints atomically: tensors as safetensors, the rest as JSON, no pickle.

A checkpoint is a folder ``step-00000100`` with ``state.safetensors`` and ``state.json``. It is
written under a temporary name, flushed to the disk, and then renamed. The JSON contains digests of
the tensors and of itself, so that a damaged checkpoint is detected and an older one used instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from metalassay.errors import UserError
from metalassay.files import NO_ROOM
from metalassay.training.config_check import config_hash

SCHEMA = "metalassay.checkpoint/1"
KEEP = 2  # the newest, and one as a fallback
_NAME = re.compile(r"step-(\d{8,})")
# The keys of ``state`` that must exist; checked in older checkpoints, which have no digest of it.
_STATE = ("position", "updates", "scaler", "threads", "versions")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint; ``config`` is the configuration of its run, ``state`` the rest that fits JSON."""

    step: int
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
    """Write ``checkpoint`` into ``folder``, delete all but the newest ``keep``, return its path.

    Raises ``UserError`` if the disk or the quota is full; older checkpoints are then unchanged.
    """
    from safetensors.torch import save as serialize

    final = folder / f"step-{checkpoint.step:08d}"
    part = folder / f".{final.name}.{os.getpid()}.part"
    data = serialize({name: value.detach().cpu() for name, value in checkpoint.tensors.items()})
    document = {
        "schema": SCHEMA,
        "step": checkpoint.step,
        "config": checkpoint.config,
        "config_hash": config_hash(checkpoint.config),
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        **checkpoint.state,
    }
    document["state_sha256"] = _digest(document)
    try:
        part.mkdir(parents=True, exist_ok=True)
        # Not written by the library, which maps the file: a full disk would raise SIGBUS.
        _write(part / "state.safetensors", data)
        _write(part / "state.json", json.dumps(document, indent=1).encode())
        _sync_folder(part)
        if final.is_dir() and not final.is_symlink():
            shutil.rmtree(
                final
            )  # the run was resumed from an older one and reached this step again
        else:
            final.unlink(missing_ok=True)
        part.rename(final)
        _sync_folder(folder)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(
            f"no room for the checkpoint of step {checkpoint.step} in {folder}"
            f" ({len(data) / 1e6:.1f} MB): {error.strerror}",
            "free some space and continue with --resume; earlier checkpoints are unchanged",
        ) from error
    finally:  # also on Ctrl+C: leave no unfinished files
        shutil.rmtree(part, ignore_errors=True)
    for old in [name for name in _steps(folder) if (folder / name).is_dir()][keep:]:
        shutil.rmtree(folder / old, ignore_errors=True)
    return final


def newest(folder: Path, notify: Callable[[str], None] = print) -> Checkpoint | None:
    """Return the newest intact checkpoint in ``folder``, None if there is none.

    Each damaged one that is skipped is reported to ``notify``.
    """
    for name in _steps(folder):
        try:
            return _read(folder / name)
        except (OSError, ValueError, KeyError) as error:
            notify(f"skipped {folder / name}, which is incomplete or damaged: {error}")
    return None


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load

    document = json.loads((folder / "state.json").read_text("utf-8"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"state.json does not have the schema {SCHEMA}")
    written = document.pop("state_sha256", None)
    if written is None and (missing := [key for key in _STATE if key not in document]):
        raise ValueError(f"state.json lacks {', '.join(missing)}")
    if written not in (None, _digest(document)):
        raise ValueError("state.json was altered")
    data = (folder / "state.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != document.pop("tensors_sha256"):
        raise ValueError("state.safetensors was altered or cut off")
    if config_hash(document["config"]) != document.pop("config_hash"):
        raise ValueError("the configuration in state.json was altered")
    del document["schema"]
    return Checkpoint(document.pop("step"), document.pop("config"), load(data), document)


def _digest(document: Mapping[str, Any]) -> str:
    """Return the hash of ``document`` after a round trip through JSON."""
    text = json.dumps(json.loads(json.dumps(document)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _steps(folder: Path) -> list[str]:
    """Return the names of the checkpoints in ``folder``, newest first."""
    names = [path.name for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(names, key=lambda name: -int(name.removeprefix("step-")))


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to the disk; only POSIX can open a folder for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
