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
command = [sys.executable, "-c", {CHILD!r}]
options = dict(stdout=subprocess.PIPE, text=True, start_new_session=True)
START
print(child.pid, child.stdout.readline().strip(), flush=True)
END
"""


def start(how: str, end: str) -> tuple[subprocess.Popen[str], list[int]]:
    source = PARENT.replace("START", how).replace("END", end)
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
    parent, pids = start("child = minder.start(command, group=True, **options)", "time.sleep(60)")
    parent.send_signal(number)
    parent.wait()
    assert running(pids) == []


def test_a_tree_ends_with_its_parent() -> None:
    parent, pids = start("child = minder.start(command, tree=True, **options)", "time.sleep(60)")
    parent.kill()
    parent.wait()
    assert running(pids) == []


def test_a_process_ends_with_its_parent_and_its_own_children_are_left() -> None:
    parent, (child, inner) = start("child = minder.start(command, **options)", "time.sleep(60)")
    parent.kill()
    parent.wait()
    assert running([child]) == []
    assert psutil.pid_exists(inner)
    psutil.Process(inner).kill()


@pytest.mark.parametrize("end", ["", "raise SystemExit(1)", "import os; os._exit(0)"])
def test_it_ends_with_a_parent_that_ends_by_itself(end: str) -> None:
    parent, pids = start("child = minder.start(command, group=True, **options)", end)
    parent.wait()
    assert running(pids) == []


@pytest.mark.parametrize("kind", ["group", "tree"])
def test_what_is_watched_after_its_start_ends_too(kind: str) -> None:
    how = "minder.prepare(); child = subprocess.Popen(command, **options); minder.watch(child.pid, KIND=True)"
    parent, pids = start(how.replace("KIND", kind), "time.sleep(60)")
    parent.kill()
    parent.wait()
    assert running(pids) == []


def test_a_parent_that_is_killed_while_it_starts_a_child_leaves_none() -> None:
    """Popen returns when the program runs, so there is a time in which the parent cannot tell of it."""
    how = f"""
import os, signal, threading
real = subprocess.Popen
class Popen(real):
    def __init__(self, command, *arguments, **options):
        super().__init__(command, *arguments, **options)
        if command[-1] == {CHILD!r}:
            print(self.pid, self.stdout.readline().strip(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen = Popen
child = minder.start(command, group=True, **options)
"""
    parent, pids = start(how, "")
    assert parent.wait() == -signal.SIGKILL
    assert len(pids) == 2
    assert running(pids) == []


def test_a_program_that_does_not_start_is_forgotten(tmp_path: Path) -> None:
    """Its pid is free again, and may soon be another process."""
    source = """
import os, signal, subprocess, sys
from metalassay import minder
taken = os.getpid
pid = int(sys.argv[1])
os.getpid = lambda: pid if os.getppid() == parent else taken()
parent = taken()
try:
    minder.start(["/no/such/program"], start_new_session=True)
except FileNotFoundError as error:
    print(error.filename)
"""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    done = subprocess.run(
        [sys.executable, "-c", source, str(other.pid)],
        capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    assert done.stdout == "/no/such/program\n"
    assert running([other.pid], 1.0) == [other.pid]
    other.kill()
    other.wait()


def test_a_child_starts_although_somebody_killed_the_minder(tmp_path: Path) -> None:
    source = """
import subprocess, sys
from metalassay import minder
minder.prepare()
minder.prepare = lambda: None
minder._minder.kill()
minder._minder.wait()
print(minder.start([sys.executable, "-c", "pass"]).wait())
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_what_is_forgotten_is_left_alone() -> None:
    parent, pids = start(
        "child = minder.start(command, group=True, **options)", "minder.forget(child.pid)"
    )
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
    parent, pids = start("child = minder.start(command, group=True, **options)", end)
    time.sleep(0.5)
    assert running(pids, 0.1) == pids
    parent.kill()
    parent.wait()
    assert running(pids) == []
