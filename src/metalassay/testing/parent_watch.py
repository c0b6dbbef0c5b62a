"""Ends this process when the one that started it is gone, so that no test outlives its runner."""

from __future__ import annotations

import os
import signal
import threading
import time

SECONDS = 0.5
"""How often it looks."""


def end_with_parent() -> None:
    """Watch the parent in a thread; when it is gone, kill this process and its group.

    The group is killed only if this process leads it: then everything in it was started from here.
    """
    parent = os.getppid()
    threading.Thread(target=_watch, args=[parent], name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
