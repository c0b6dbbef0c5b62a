"""Metadata that cannot be read, one for each way in which that happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path


def _huge(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(64 * 2**20)


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "no text": lambda file: _write(file, b"Name: x\nVersion: 1.0\n\n\xff\xfe"),
    "a pipe": os.mkfifo,
    "a dangling link": lambda file: file.symlink_to("nowhere"),
    "a link to itself": lambda file: file.symlink_to(file.name),
    "an endless file": lambda file: file.symlink_to("/dev/zero"),
    "a huge file": _huge,
}
"""What puts each of them in the place of a file that is not there."""


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)
