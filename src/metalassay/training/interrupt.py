"""Ctrl+C and SIGTERM while training: once means "finish the step", twice means "now"."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """A context manager that records the first SIGINT or SIGTERM in ``requested_by``, by its name.

    The second signal raises ``KeyboardInterrupt`` at once; a file that is being written then is a
    temporary one, which its writer removes. Outside the main thread, where Python delivers no
    signals, it has no effect.
    """

    def __init__(self) -> None:
        self.requested_by: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *failure: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested_by is not None:
            raise KeyboardInterrupt
        self.requested_by = signal.Signals(number).name
