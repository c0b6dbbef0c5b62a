"""Checkpoints that are whole or not there: tensors as safetensors, the rest as JSON, no pickle.

A checkpoint is a folder ``step-00000100`` with ``state.safetensors`` and ``state.json``. It is
written under another name, reaches the disk, and is then renamed. The JSON holds digests of the
tensors and of itself, so that a torn one is known for what it is and an older one is used.
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
KEEP = 2  # the newest, and one to fall back on
_NAME = re.compile(r"step-(\d{8,})")
# What ``state`` holds at least; asked of checkpoints from before there was a digest of it.
_STATE = ("position", "updates", "scaler", "threads", "versions")


@dataclass(frozen=True)
class Checkpoint:
    """``state`` is what JSON can say; ``config`` the configuration that the run was started with."""

    step: int
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
    """Write ``checkpoint`` below ``folder``, drop all but the newest ``keep``, return its folder.

    Raises ``UserError`` where the disk or the quota is full; older checkpoints then stand.
    """
    from safetensors.torch import save as serialize

    final = folder / f"step-{checkpoint.step:08d}"
    part = folder / f".{final.name}.{os.getpid()}.part"
    data = serialize({name: each.detach().cpu() for name, each in checkpoint.tensors.items()})
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
        # Written here and not by the library, which maps the file: a full disk would be SIGBUS.
        _write(part / "state.safetensors", data)
        _write(part / "state.json", json.dumps(document, indent=1).encode())
        _sync_folder(part)
        if final.is_dir() and not final.is_symlink():
            shutil.rmtree(final)  # of a run that was resumed from an older one; the same step again
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
            "free some space and go on with --resume; the checkpoints before it are whole",
        ) from error
    finally:  # also on Ctrl+C: leave nothing half-written
        shutil.rmtree(part, ignore_errors=True)
    for old in [name for name in _steps(folder) if (folder / name).is_dir()][keep:]:
        shutil.rmtree(folder / old, ignore_errors=True)
    return final


def newest(folder: Path, say: Callable[[str], None] = print) -> Checkpoint | None:
    """Return the newest whole checkpoint below ``folder``, None where there is none.

    Names to ``say`` each torn one that it passes over.
    """
    for name in _steps(folder):
        try:
            return _read(folder / name)
        except (OSError, ValueError, KeyError) as error:
            say(f"passed over {folder / name}, which is not whole: {error}")
    return None


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load

    document = json.loads((folder / "state.json").read_text("utf-8"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"state.json is not of the schema {SCHEMA}")
    written = document.pop("state_sha256", None)
    if written is None and (missing := [key for key in _STATE if key not in document]):
        raise ValueError(f"state.json lacks {', '.join(missing)}")
    if written not in (None, _digest(document)):
        raise ValueError("state.json is not what was written")
    data = (folder / "state.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != document.pop("tensors_sha256"):
        raise ValueError("state.safetensors is not what was written")
    if config_hash(document["config"]) != document.pop("config_hash"):
        raise ValueError("the configuration in state.json is not what was written")
    del document["schema"]
    return Checkpoint(document.pop("step"), document.pop("config"), load(data), document)


def _digest(document: Mapping[str, Any]) -> str:
    """Return the hash of ``document`` as it comes back from JSON."""
    text = json.dumps(json.loads(json.dumps(document)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _steps(folder: Path) -> list[str]:
    """Return the names of checkpoints below ``folder``, newest first."""
    found = [_NAME.fullmatch(path.name) for path in folder.glob("step-*")]
    return [each.group() for each in sorted((e for e in found if e), key=lambda e: -int(e[1]))]


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Let the names in ``folder`` reach the disk; only POSIX lets a folder be opened for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
