"""What a program started ends with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

# A child that hears nothing and has a child of its own: a computation with its workers.
CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(inner.pid, flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys, time
from metalassay import minder
child = subprocess.Popen(
    [sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, text=True, start_new_session=True
)
WATCH
print(child.pid, child.stdout.readline().strip(), flush=True)
END
"""


def start(watch: str, end: str) -> tuple[subprocess.Popen[str], list[int]]:
    source = PARENT.replace("WATCH", watch).replace("END", end)
    parent = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout
    return parent, [int(word) for word in parent.stdout.readline().split()]


def running(pids: list[int], seconds: float = 10.0) -> list[int]:
    """Return which processes still run after at most ``seconds``."""
    until = time.monotonic() + seconds
    left = pids
    while left and time.monotonic() < until:
        left = [
            pid
            for pid in left
            if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        ]
        time.sleep(0.02)
    return left


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_group_ends_with_its_parent(number: signal.Signals) -> None:
    parent, pids = start("minder.watch(child.pid, group=True)", "time.sleep(60)")
    parent.send_signal(number)
    parent.wait()
    assert running(pids) == []


def test_a_tree_ends_with_its_parent() -> None:
    parent, pids = start("minder.watch(child.pid, tree=True)", "time.sleep(60)")
    parent.kill()
    parent.wait()
    assert running(pids) == []


def test_a_process_ends_with_its_parent_and_its_own_children_are_left() -> None:
    parent, (child, inner) = start("minder.watch(child.pid)", "time.sleep(60)")
    parent.kill()
    parent.wait()
    assert running([child]) == []
    assert psutil.pid_exists(inner)
    psutil.Process(inner).kill()


@pytest.mark.parametrize("end", ["", "raise SystemExit(1)", "import os; os._exit(0)"])
def test_it_ends_with_a_parent_that_ends_by_itself(end: str) -> None:
    parent, pids = start("minder.watch(child.pid, group=True)", end)
    parent.wait()
    assert running(pids) == []


def test_what_is_forgotten_is_left_alone() -> None:
    parent, pids = start("minder.watch(child.pid, group=True)", "minder.forget(child.pid)")
    parent.wait()
    assert running(pids, 1.0) == pids
    for pid in pids:
        psutil.Process(pid).kill()


def test_a_fork_does_not_stop_the_watching(tmp_path: Path) -> None:
    """A forked copy that forgets what it inherited leaves the watching of its parent as it is."""
    end = """
import os
if os.fork() == 0:
    minder.forget(child.pid)
    minder._close()
    os._exit(0)
os.wait()
time.sleep(60)
"""
    parent, pids = start("minder.watch(child.pid, group=True)", end)
    time.sleep(0.5)
    assert running(pids, 0.1) == pids
    parent.kill()
    parent.wait()
    assert running(pids) == []
