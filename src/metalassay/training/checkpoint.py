"""Write and read checkpoints atomically: tensors as safetensors, the rest as JSON, no pickle.

A checkpoint is a folder ``step-00000100`` with ``state.safetensors`` and ``state.json``. It is
written under a temporary name, flushed to the disk, and then renamed. The JSON contains digests of
the tensors and of itself, so that a damaged checkpoint is detected and an older one used instead. Its
values are checked nevertheless: whoever edits a file can also compute its digest.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from metalassay import files
from metalassay.errors import UserError
from metalassay.fields import Field, parse_json
from metalassay.files import NO_ROOM, content, open_regular
from metalassay.training.config_check import config_hash

SCHEMA = "metalassay.checkpoint/1"
KEEP = 2  # the newest, and one as a fallback
_NAME = re.compile(r"step-([0-9]{8,})")
_MOST_TENSORS = 16 * 2**30  # bytes; the largest of our models has 0.2 GB of them


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
        files.make_folder(part)
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
            "free some space and run it again, with --resume if it left a checkpoint; those are unchanged",
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
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            notify(f"skipped {folder / name}, which is incomplete or damaged: {why}")
    return None


def _read(folder: Path) -> Checkpoint:
    """Read a checkpoint. Raises ``OSError``, and ``ValueError`` for one that is damaged or altered."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    document = Field(parse_json(content(folder / "state.json")))
    schema = document.get("schema")
    if schema.value != SCHEMA:
        raise schema.wrong(repr(SCHEMA))
    _check(document, folder.name)
    state: dict[str, Any] = {**document.value}  # type: ignore[dict-item]  # an object, as _check found
    try:
        if state.pop("state_sha256") != _digest(state):
            raise ValueError("state.json was altered")
        if config_hash(state["config"]) != state.pop("config_hash"):
            raise ValueError("the configuration in state.json was altered")
    except RecursionError:
        raise ValueError("state.json is nested too deeply") from None
    data = _tensors(folder / "state.safetensors", state.pop("tensors_sha256"))
    del state["schema"]
    try:
        return Checkpoint(state.pop("step"), state.pop("config"), load(data), state)
    except SafetensorError as error:
        raise ValueError(f"state.safetensors cannot be read: {error}") from None


def _check(document: Field, name: str) -> None:
    """Raise ``FieldError`` for a value of state.json that no run could have written.

    The position in the data is checked by the source that goes there.
    """
    for digest in ("state_sha256", "tensors_sha256", "config_hash"):
        document.get(digest).name()
    step = _whole(document.get("step"), 0, 2**63 - 1)
    if name != f"step-{step:08d}":
        raise document.get("step").wrong(f"the step that the folder {name} names")
    _whole(document.get("updates"), 0, step)  # the scaler leaves some out
    _whole(document.get("threads"), 1, 2**31 - 1)
    document.get("device").name()
    document.get("versions").texts()
    document.get("position")
    config, scaler = document.get("config"), document.get("scaler")
    for each in (config, scaler):
        if not isinstance(each.value, dict):
            raise each.wrong("an object")
    if scaler.value:  # one that is not used has nothing to keep
        largest = math.ldexp(1.0, 127)  # of float32
        for key in ("scale", "growth_factor", "backoff_factor"):
            scaler.get(key).number(math.ldexp(1.0, -149), largest)
        _whole(scaler.get("growth_interval"), 1, 2**63 - 1)
        _whole(scaler.get("_growth_tracker"), 0, 2**63 - 1)


def _whole(field: Field, least: int, most: int) -> int:
    value = field.value
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise field.wrong(f"a whole number from {least} to {most}")
    return value


def _tensors(path: Path, digest: str) -> bytes:
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > _MOST_TENSORS:
            raise ValueError(f"state.safetensors is larger than {_MOST_TENSORS >> 30} GiB")
        # Before it is read into memory: a file with holes may be far larger than ours are.
        found = hashlib.file_digest(stream, "sha256")  # type: ignore[arg-type]  # it is buffered
        if found.hexdigest() != digest:
            raise ValueError("state.safetensors was altered or cut off")
        stream.seek(0)
        return stream.read()


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
