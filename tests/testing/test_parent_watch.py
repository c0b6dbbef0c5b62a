"""A process that watches its parent ends with it, and so does what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# The parent starts a watching child in a group of its own; the child starts a grandchild.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
time.sleep(60)
"""
CHILD = """
import os, pathlib, subprocess, sys, time
from metalassay.testing import parent_watch
parent_watch.SECONDS = 0.05
parent_watch.end_with_parent()
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {other.pid}")
time.sleep(60)
"""


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process whose parent has not asked for its end yet is dead all the same.
    state = Path("/proc", str(process), "stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition: object) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if callable(condition) and condition():
            return True
        time.sleep(0.05)
    return False


def test_child_and_grandchild_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(pids)])
    try:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        processes = [int(word) for word in pids.read_text().split()]
        assert all(map(is_alive, processes))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until(lambda: not any(map(is_alive, processes)))
