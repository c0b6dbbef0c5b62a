"""How `metalassay run` and the Python processes below it talk: environment, requests, messages.

`metalassay run` makes a private folder for each run and names it in the environment variable
``FOLDER_VARIABLE``, which every process below inherits (it also tells which processes are part of the
run). In the folder are

``config.json``  what the start-up hook has to do in each process, a `Config`
``socket``       a Unix datagram socket, on which the processes send messages to `metalassay run`
``request.json`` what `metalassay run` asks of the processes, a `Request`; each new one replaces the last

A message is one JSON object in one datagram: ``{"pid": 1234, "kind": "steps", ...}``. Datagrams need no
disk, arrive whole, and are lost, not waited for, if nobody reads them: a program never waits for us.
The kinds and their keys are in ``KINDS``.

Standard library only, and Python 3.10: both sides import it, also where nothing of ours is installed.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "METALASSAY_RUN"
LARGEST = 2000  # bytes of a message: macOS takes no datagram above 2,048 (net.local.dgram.maxdgram)

KINDS: Mapping[str, tuple[str, ...]] = {
    "started": ("python", "executable", "program", "worker"),
    "patched": ("patch", "bug"),  # needed, and applied
    "not patched": ("patch", "why"),  # its target does not look as expected
    "steps": ("steps",),  # optimizer steps of this process so far
    # Bytes, of torch's MPS allocator; "steps" as above.
    "memory": ("driver", "current", "recommended", "steps"),
    "emptied": ("driver_before", "driver_after", "seconds"),  # torch.mps.empty_cache was called
    # The kinds of tensors that grew in number between two counts, and what holds them.
    "census": ("tensors", "megabytes", "grown"),
    "empty loader": ("text", "next_step"),
    "zero steps": ("text", "next_step"),
    "checkpoint": ("step", "path"),  # saved because we asked
    "stopping": ("step", "reason"),  # the training ends because we asked
    "ended": ("exception",),  # an exception reached the top of the program; its type and message
}
"""The kinds of messages and their keys beside ``pid`` and ``kind``."""


@dataclass(frozen=True)
class Config:
    """What the start-up hook does in each Python process of a run.

    The processes import this package from where the hook is. ``patches`` are names
    of `metalassay.patches`. ``resume``: ``Trainer.train`` continues from the last checkpoint, if there is one
    and the program did not say otherwise. ``tick`` is the time in seconds between two looks for a request, ``every`` the
    time between two readings of memory and steps. ``profile`` is how many optimizer steps to profile, into
    files in ``profile_folder``; 0 for none.
    """

    patches: tuple[str, ...] = ()
    guard: bool = True
    resume: bool = False
    tick: float = 1.0
    every: float = 5.0
    profile: int = 0
    profile_folder: str = ""


@dataclass(frozen=True)
class Request:
    """What `metalassay run` asks of its processes; ``number`` grows with each request.

    ``want`` is "stop" (save a checkpoint after this step, and end the training), "empty cache",
    "census" (count tensors), or "stacks" (print the stack of each thread to stderr).
    """

    number: int
    want: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def write_config(folder: Path, config: Config) -> None:
    """Write the configuration of a run into its folder."""
    _replace(folder / "config.json", asdict(config))


def read_config(folder: Path) -> Config:
    """Read the configuration. Raises ``OSError`` or ``ValueError`` if it cannot be read."""
    values = json.loads((folder / "config.json").read_text("utf-8"))
    return Config(**{**values, "patches": tuple(values["patches"])})


def write_request(folder: Path, request: Request) -> None:
    """Ask something of the processes of a run; a reader sees the whole request or the one before."""
    _replace(folder / "request.json", asdict(request))


def read_request(folder: Path) -> Request | None:
    """Read what is asked for; None if nothing is. Raises ``ValueError`` if it is malformed."""
    try:
        text = (folder / "request.json").read_text("utf-8")
    except FileNotFoundError:
        return None
    return Request(**json.loads(text))


def send(folder: Path, kind: str, **values: Any) -> bool:
    """Send a message and return whether it was sent; long texts are cut, and nothing is waited for."""
    message = {"pid": os.getpid(), "kind": kind, **values}
    data = _encode(message)
    for most in (300, 100, 30):
        if len(data) > LARGEST:
            data = _encode({name: _cut(value, most) for name, value in message.items()})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(data, str(folder / "socket"))
        except OSError:  # nobody reads any longer, or not fast enough
            return False
    return True


def listen(folder: Path) -> socket.socket:
    """Return the socket of a run, bound and not blocking."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    receiver.bind(str(folder / "socket"))
    return receiver


def parse(data: bytes) -> dict[str, Any] | None:
    """Return a message; None if it is none of ours: any process of the user may write to the socket."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("pid"), int):
        return None
    keys = KINDS.get(message.get("kind", "")) if isinstance(message.get("kind"), str) else None
    return message if keys is not None and _has(message, keys) else None


def _has(message: Mapping[str, Any], keys: Iterable[str]) -> bool:
    return all(key in message for key in keys)


def _cut(value: Any, most: int) -> Any:
    """Return a text of at most ``most`` characters, or at most three such texts."""
    if isinstance(value, str):
        return value[:most]
    if isinstance(value, list):
        return [_cut(each, most) for each in value[:3]]
    return value


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=True).encode()


def _replace(path: Path, values: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(values), "utf-8")
    temporary.replace(path)
