"""Checkpoints that are whole or not there: tensors as safetensors, the rest as JSON, no pickle.

A checkpoint is a folder ``step-00000100`` with ``state.safetensors`` and ``state.json``. It is
written under another name, reaches the disk, and is then renamed. The JSON holds the digest of the
tensors, so that a torn one is known for what it is and an older one is used.
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

SCHEMA = "metalassay.checkpoint/1"
KEEP = 2  # the newest, and one to fall back on
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """``state`` is what JSON can say; ``config`` the configuration that the run was started with."""

    step: int
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def config_hash(config: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change with any value of ``config``."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    try:
        part.mkdir(parents=True, exist_ok=True)
        # Written here and not by the library, which maps the file: a full disk would be SIGBUS.
        _write(part / "state.safetensors", data)
        _write(part / "state.json", json.dumps(document, indent=1).encode())
        _sync_folder(part)
        if final.exists():  # of a run that was resumed from an older one; the same step again
            shutil.rmtree(final)
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
    for old in _steps(folder)[keep:]:
        shutil.rmtree(folder / old, ignore_errors=True)
    return final


def newest(
    folder: Path, config: Mapping[str, Any] | None = None, say: Callable[[str], None] = print
) -> Checkpoint | None:
    """Return the newest whole checkpoint below ``folder``, None where there is none.

    Names to ``say`` each torn one that it passes over. Raises ``UserError`` if the one found was
    made with another configuration than ``config``: it names what differs.
    """
    for name in _steps(folder):
        try:
            found = _read(folder / name)
        except (OSError, ValueError, KeyError) as error:
            say(f"passed over {folder / name}, which is not whole: {error}")
            continue
        if config is not None and config_hash(found.config) != config_hash(config):
            keys = sorted(set(config) | set(found.config))
            differ = [key for key in keys if config.get(key) != found.config.get(key)]
            said = "; ".join(
                f"{key} was {found.config.get(key)!r}, is {config.get(key)!r}" for key in differ
            )
            raise UserError(
                f"{folder / name} was made with another configuration: {said}",
                "resume with the same options, or start anew in another --output folder",
            )
        return found
    return None


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load

    document = json.loads((folder / "state.json").read_text("utf-8"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"state.json is not of the schema {SCHEMA}")
    data = (folder / "state.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != document.pop("tensors_sha256"):
        raise ValueError("state.safetensors is not what was written")
    if config_hash(document["config"]) != document.pop("config_hash"):
        raise ValueError("the configuration in state.json is not what was written")
    del document["schema"]
    return Checkpoint(document.pop("step"), document.pop("config"), load(data), document)


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
