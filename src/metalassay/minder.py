"""Ends the processes that we started when we end, however that is, also by SIGKILL or a crash.

A child that computes does not look whether its parent lives, and Linux alone can tell it. So a process
beside ours waits on a pipe, which the system closes when we are gone, and kills what is still watched.
It is the same on macOS. A child tells the pipe of itself before its program starts (``start``): if its parent
told it afterwards, a child would be left when its parent is killed in between.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

# Each line adds "+PID START", "*PID START" (with its group) or "^PID START" (with its descendants), or takes it away:
# "-PID", or "!START" where a program could not be started, and its pid is not known.
_PROGRAM = """
import os, signal, subprocess, sys
watched = {}
for line in iter(sys.stdin.readline, ""):
    if line[0] == "-":
        watched.pop(int(line[1:]), None)
    elif line[0] == "!":
        watched = {pid: told for pid, told in watched.items() if told[1] != line[1:].strip()}
    else:
        pid, _, start = line[1:].strip().partition(" ")
        watched[int(pid)] = line[0], start
kinds = {pid: kind for pid, (kind, _) in watched.items()}
trees = {pid for pid, kind in kinds.items() if kind == "^"}
if trees:
    try:
        shown = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True).stdout
    except OSError:
        shown = ""
    pairs = [tuple(map(int, line.split())) for line in shown.splitlines()]
    while more := {pid for pid, parent in pairs if parent in trees and pid not in trees}:
        trees |= more
for pid in trees:
    kinds.setdefault(pid, "+")
for pid, kind in kinds.items():
    try:
        (os.killpg if kind == "*" else os.kill)(pid, signal.SIGKILL)
    except OSError:
        pass
"""

_PATIENCE = 5.0  # seconds for the watching process to end with ours
_lock = threading.Lock()
_starts = itertools.count()
_minder: subprocess.Popen[str] | None = None
_owner = 0  # a fork has our variables, and no minder of its own


def start(
    command: Sequence[str], *, group: bool = False, tree: bool = False, **options: Any
) -> subprocess.Popen[Any]:
    """Start a program that ends when ours ends, with all of the ``group`` that it leads, or its descendants.

    ``options`` are those of ``subprocess.Popen``, whose errors are raised. Call ``forget`` when it has ended.
    """
    prepare()
    if os.name == "nt":
        process = subprocess.Popen(command, **options)  # noqa: S603  (what our callers vouch for)
        watch(process.pid, group=group, tree=tree)
        return process
    assert _minder is not None  # noqa: S101  (prepare started it)
    assert _minder.stdin is not None  # noqa: S101
    wire, kind = _minder.stdin.fileno(), _kind(group=group, tree=tree)
    number = next(_starts)

    def announce() -> None:  # takes no lock, which another thread could have held when we forked
        # In the child, where Popen has given SIGPIPE its default back: a minder that somebody killed would kill it.
        before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        with contextlib.suppress(BrokenPipeError):
            os.write(wire, f"{kind}{os.getpid()} {number}\n".encode())
        signal.signal(signal.SIGPIPE, before)

    try:
        return subprocess.Popen(command, **options, preexec_fn=announce)  # noqa: S603  (what our callers vouch for)
    except OSError:  # the program is not there, and the process has ended
        _tell(f"!{number}\n")
        raise


def prepare() -> None:
    """Start the process that watches, if it does not run: before a fork, so that none is missed."""
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

    For a process that ``start`` did not start. Call ``prepare`` before: until it is watched, it would be left.
    """
    prepare()
    _tell(f"{_kind(group=group, tree=tree)}{pid}\n")


def forget(pid: int) -> None:
    """Watch ``pid`` no longer: it has ended, and the system may give its number to another process."""
    _tell(f"-{pid}\n")


@contextlib.contextmanager
def forgetting(pid: int) -> Iterator[None]:
    """Watch a process until the body, which waits for it, has run."""
    try:
        yield
    finally:
        forget(pid)


def _kind(*, group: bool, tree: bool) -> str:
    return "*" if group else "^" if tree else "+"


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
