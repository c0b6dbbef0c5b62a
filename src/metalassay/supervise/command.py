"""``metalassay run``: start any command under a CPU limiter, a monitor, or both."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from metalassay.errors import UserError
from metalassay.supervise.cpu_limiter import CpuLimiter
from metalassay.supervise.monitor import Monitor

EXAMPLE = "metalassay run --max-cpu 70 -- python train.py"
# A key in the terminal sends these to every foreground process, so to the program as well.
_FROM_KEYS = ("SIGINT", "SIGQUIT")
_FORWARDED = (*_FROM_KEYS, "SIGTERM", "SIGHUP")


def run(options: Mapping[str, Any]) -> int:
    """Run ``options["program"]`` with limits and return its exit code, as a shell would.

    Signals are forwarded to the program; if it is stopped, it is continued, and the limits apply
    while it handles them. Raises ``UserError`` if the program cannot be started.
    """
    if os.name != "posix":
        raise UserError(
            "limits need SIGSTOP, which Windows does not have", "use WSL, or run without limits"
        )
    command = [*_background(options["background"], sys.platform), *options["program"]]
    child: list[subprocess.Popen[bytes]] = []
    limiter = CpuLimiter(
        (options["max_cpu"] or 100) / 100,
        (options["max_memory"] or 100) / 100,
        notify=_notify,
        finished=lambda: bool(child) and _ended(child[0].pid),
        include_self=False,
    )
    with contextlib.ExitStack() as stack:
        if options["monitor"]:
            monitor = Monitor(
                Path(options["monitor"]),
                options["every"],
                paused=lambda: limiter.state().paused,
                include_self=False,
                notify=_notify,
            )
            stack.enter_context(monitor)
        early = stack.enter_context(_forward_signals(child, limiter))
        stack.enter_context(limiter)
        try:
            # The child has the default signal handlers: ours do not survive exec.
            child.append(subprocess.Popen(command))  # noqa: S603  (the user's own command)
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror}", EXAMPLE) from error
        for number in early:
            child[0].send_signal(number)
        code = child[0].wait()
    if options["verbose"]:
        _notify(f"the program was paused for {limiter.state().paused:.1f} s in all")
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _forward_signals(
    child: list[subprocess.Popen[bytes]], limiter: CpuLimiter
) -> Iterator[list[int]]:
    """Forward signals to ``child`` and continue it; yield those that arrived before it started."""
    early: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if not (signal.Signals(number).name in _FROM_KEYS and _at_the_terminal()):
            for process in child:
                process.send_signal(number)
            if not child:
                early.append(number)
        limiter.end_pause()

    previous = {}
    for name in _FORWARDED:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup; the child inherits that
            previous[number] = signal.signal(number, handle)
    try:
        yield early
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ended(child: int) -> bool:
    """Return whether a child has ended, without consuming its exit code."""
    try:
        return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _at_the_terminal() -> bool:
    """Return whether this process, and so the program too, is in the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _background(wanted: bool, platform: str) -> list[str]:
    if not wanted:
        return []
    if platform != "darwin":
        raise UserError("--background needs macOS", "leave it out, or use nice")
    return ["taskpolicy", "-b"]


def _notify(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)
