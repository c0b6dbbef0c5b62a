"""Use CPU time."""

from __future__ import annotations

import time


def burn(seconds: float) -> None:
    """Use ``seconds`` of CPU time."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(i * i for i in range(1000))
