"""``metalassay run --max-cpu``: a governor around a command that knows nothing of it."""

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
# A key in the terminal sends these to every process of the foreground, so to the program as well.
_OF_KEYS = ("SIGINT", "SIGQUIT")
_PASSED_ON = (*_OF_KEYS, "SIGTERM", "SIGHUP")


def run(options: Mapping[str, Any]) -> int:
    """Run ``options["program"]`` under a governor; return its exit code, as a shell would.

    Signals are the program's to answer: one that is stopped is set going, and the limits hold while
    it answers. Raises ``UserError`` where the program cannot be started.
    """
    if os.name != "posix":
        raise UserError("nothing stops a program for a while on Windows", "use WSL, or no limit")
    command = [*_background(options["background"], sys.platform), *options["program"]]
    child: list[subprocess.Popen[bytes]] = []
    limiter = CpuLimiter(
        (options["max_cpu"] or 100) / 100,
        (options["max_memory"] or 100) / 100,
        say=_say,
        over=lambda: bool(child) and _ended(child[0].pid),
        own=False,
    )
    with contextlib.ExitStack() as stack:
        if options["monitor"]:
            watching = Monitor(
                Path(options["monitor"]),
                options["every"],
                paused=lambda: limiter.state().paused,
                own=False,
                say=_say,
            )
            stack.enter_context(watching)
        early = stack.enter_context(_passing_on(child, limiter))
        stack.enter_context(limiter)
        try:
            # In the child, signals are as they were here: a handler does not outlive an exec.
            child.append(subprocess.Popen(command))  # noqa: S603  (the user's own command)
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror}", EXAMPLE) from error
        for number in early:
            child[0].send_signal(number)
        code = child[0].wait()
    if options["verbose"]:
        _say(f"held back for {limiter.state().paused:.1f} s")
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passing_on(child: list[subprocess.Popen[bytes]], limiter: CpuLimiter) -> Iterator[list[int]]:
    """Pass signals on to ``child``, set it going for them; yield those that came too early."""
    early: list[int] = []

    def came(number: int, frame: FrameType | None) -> None:
        if not (signal.Signals(number).name in _OF_KEYS and _at_the_terminal()):
            for each in child:
                each.send_signal(number)
            if not child:
                early.append(number)
        limiter.let_go()

    before = {}
    for name in _PASSED_ON:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup; and the child is to inherit it
            before[number] = signal.signal(number, came)
    try:
        yield early
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(child: int) -> bool:
    """Return whether a child has ended, without taking its exit code from who waits for it."""
    try:
        return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _at_the_terminal() -> bool:
    """Return whether this process, and so the program, is in the foreground of a terminal."""
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
        raise UserError("--background is macOS's quality of service", "leave it out, or use nice")
    return ["taskpolicy", "-b"]


def _say(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)
