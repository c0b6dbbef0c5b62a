"""Ends the processes that we started when we end, however that is, also by SIGKILL or a crash.

A child that computes does not look whether its parent lives, and Linux alone can tell it. So a process
beside ours waits on a pipe, which the system closes when we are gone, and kills what is still watched.
It is the same on macOS.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

# Each line adds "+PID", "*PID" (with its group) or "^PID" (with its descendants), or takes it away: "-PID".
_PROGRAM = """
import os, signal, subprocess, sys
watched = {}
for line in iter(sys.stdin.readline, ""):
    if line[0] == "-":
        watched.pop(int(line[1:]), None)
    else:
        watched[int(line[1:])] = line[0]
trees = {pid for pid, kind in watched.items() if kind == "^"}
if trees:
    try:
        shown = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True).stdout
    except OSError:
        shown = ""
    pairs = [tuple(map(int, line.split())) for line in shown.splitlines()]
    while more := {pid for pid, parent in pairs if parent in trees and pid not in trees}:
        trees |= more
for pid in trees:
    watched.setdefault(pid, "+")
for pid, kind in watched.items():
    try:
        (os.killpg if kind == "*" else os.kill)(pid, signal.SIGKILL)
    except OSError:
        pass
"""

_PATIENCE = 5.0  # seconds for the watching process to end with ours
_lock = threading.Lock()
_minder: subprocess.Popen[str] | None = None
_owner = 0  # a fork has our variables, and no minder of its own


def prepare() -> None:
    """Start the process that watches, if it does not run: before a child, so that none is missed."""
    global _minder, _owner
    with _lock:
        if _minder is not None and _owner == os.getpid() and _minder.poll() is None:
            return
        # Isolated, so that the user's environment does not reach it, and in a session of its own, so
        # that Ctrl+C does not.
        _minder = subprocess.Popen(  # noqa: S603  (our own lines above)
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=os.sep,
            text=True,
        )
        if not _owner:
            atexit.register(_close)
        _owner = os.getpid()


def watch(pid: int, *, group: bool = False, tree: bool = False) -> None:
    """End the process ``pid`` when ours ends, with all of the ``group`` that it leads, or its descendants.

    Call ``prepare`` before the process is started: until it is watched, it would be left.
    """
    prepare()
    _tell(f"{'*' if group else '^' if tree else '+'}{pid}\n")


def forget(pid: int) -> None:
    """Watch ``pid`` no longer: it has ended, and the system may give its number to another process."""
    _tell(f"-{pid}\n")


@contextlib.contextmanager
def watching(pid: int, *, group: bool = False, tree: bool = False) -> Iterator[None]:
    """Watch a process while the body runs, which waits for it."""
    watch(pid, group=group, tree=tree)
    try:
        yield
    finally:
        forget(pid)


def _tell(line: str) -> None:
    with _lock:
        if _minder is None or _minder.stdin is None or _owner != os.getpid():
            return
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            _minder.stdin.write(line)
            _minder.stdin.flush()


def _close() -> None:
    if _minder is None or _minder.stdin is None or _owner != os.getpid():
        return
    with contextlib.suppress(BrokenPipeError):
        _minder.stdin.close()
    try:
        _minder.wait(_PATIENCE)
    except subprocess.TimeoutExpired:  # a copy of the pipe is open elsewhere, as in a fork of ours
        _minder.kill()
        _minder.wait()
