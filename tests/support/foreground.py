"""Ctrl+C as a program in the foreground of a terminal gets it, whatever started pytest."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def foreground() -> Iterator[None]:
    """Let SIGINT interrupt here, and in programs that are started here.

    A shell starts background jobs with SIGINT ignored. Python leaves it so, and so do the programs that such
    a pytest starts: Ctrl+C then has no effect on them.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
