"""The largest number of threads we give torch: at about 20,000 its libraries abort the process."""

from __future__ import annotations

import os

PER_CORE = 4


def maximum() -> int:
    """Return the largest number of threads accepted on this machine."""
    return PER_CORE * (os.cpu_count() or 1)
