"""How many threads torch may be given: with some 20,000 the libraries under it end the process."""

from __future__ import annotations

import os

A_CORE = 4


def most() -> int:
    """Return the largest number that is taken on this machine."""
    return A_CORE * (os.cpu_count() or 1)
