"""The Mac of this process: what tests/support/rehearsal.py read from its file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

# A Mac that reads and writes files all the time, and must not look like one that swaps.
PAGES_PER_SECOND = {"Pageins": 1000, "Pageouts": 100}

mac: dict[str, Any] = {}
_depth: list[None] = []


def load(data: dict[str, Any]) -> None:
    """Take over the facts of the Mac."""
    mac.update(data)


@contextlib.contextmanager
def linux() -> Iterator[None]:
    """Let our code see the real system inside the block: what emulates mps works only there."""
    _depth.append(None)
    try:
        yield
    finally:
        _depth.pop()


def on_linux() -> bool:
    """Return whether our code sees the real system now."""
    return bool(_depth)


def python_version() -> str:
    """Return the version that this Mac tells a Python that was linked with an older SDK."""
    return str(mac.get("python_macos", mac["macos"]))


def sysctl(name: str) -> str | None:
    """Return the value of a name of sysctl as text, or None where this Mac has no such name."""
    value = mac["sysctl"].get(name)
    return None if value is None else str(value)


def vm_stat() -> dict[str, int]:
    """Return the counters of vm_stat in pages; those of files grow, those of swapping do not."""
    counters = {
        name.strip().strip('"'): int(number)
        for name, number in re.findall(r"^(.+?):\s+(\d+)\.$", mac["vm_stat"], re.MULTILINE)
    }
    for name, rate in PAGES_PER_SECOND.items():
        counters[name] += int((time.time() - mac["began"]) * rate)
    return counters


def swap_bytes() -> tuple[int, int, int]:
    """Return the total, used and free bytes of swap, from vm.swapusage."""
    unit = {"K": 2**10, "M": 2**20, "G": 2**30}
    found = re.findall(r"= ([\d.]+)([KMG])", mac["sysctl"]["vm.swapusage"])
    total, used, free = (int(float(number) * unit[letter]) for number, letter in found)
    return total, used, free


def note(event: str, what: object, where: str) -> None:
    """Write a violation to the file that fails the rehearsal, however our code goes on."""
    line = json.dumps({"event": event, "what": str(what), "where": where, "argv": sys.argv[:3]})
    log = os.open(os.environ["METALASSAY_REHEARSAL_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, (line + "\n").encode())
    finally:
        os.close(log)


def caller() -> str:
    """Return the place outside the rehearsal that is running."""
    frame = sys._getframe(1)
    here = os.path.dirname(__file__)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
