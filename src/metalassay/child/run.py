"""The run that this process is part of, and how it is told something: a message, or a line for the user."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from metalassay.errors import reason
from metalassay.supervise import protocol

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One `metalassay run`, as its processes know it."""

    folder: Path
    config: protocol.Config

    def send(self, kind: str, **values: Any) -> None:
        """Send a message; it is lost if nobody listens."""
        protocol.send(self.folder, kind, **values)


@functools.cache
def current() -> Run | None:
    """Return the run of this process; None outside one, and when its folder is gone.

    Raises ``ValueError`` or ``TypeError`` if its configuration is malformed.
    """
    folder = os.environ.get(protocol.FOLDER_VARIABLE)
    if not folder:
        return None
    try:
        config = protocol.read_config(Path(folder))
    except FileNotFoundError:
        return None
    return Run(Path(folder), config)


def say(text: str) -> None:
    """Print one line to stderr, if the process has one."""
    if sys.stderr is not None:
        sys.stderr.write(f"metalassay: {text}\n")
        sys.stderr.flush()


def harmless(do: Callable[[], T]) -> T | None:
    """Call a function of ours in the midst of the program; its error is a line, and the result None."""
    try:
        return do()
    except Exception as error:  # noqa: BLE001  (whatever it is, the program did not cause it)
        say(f"an error of metalassay, not of the program: {reason(error)}")
        return None
