"""Note what our code does that no Mac could do: read /proc and /sys, fork, start Linux's tools."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

from as_mac import facts

LINUX_PLACES = ("/proc/", "/sys/", "/dev/shm/", "/run/", "/etc/os-release")  # noqa: S108
LINUX_TOOLS = {"free", "ldconfig", "ldd", "lscpu", "nproc", "numactl", "nvidia-smi", "taskset"}
_STDLIB = os.path.dirname(os.__file__) + os.sep
_HERE = os.path.dirname(__file__) + os.sep
_PACKAGES = f"{os.sep}site-packages{os.sep}"


def ours(builtins: dict[str, Any]) -> FrameType | None:
    """Return the frame of our code that acts, or None if a package acts, or the standard library alone."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_builtins is builtins:
            return frame
        name = frame.f_code.co_filename
        of_python = name.startswith(("<frozen", _HERE)) or (
            name.startswith(_STDLIB) and _PACKAGES not in name
        )
        if not of_python:
            return None
        frame = frame.f_back
    return None


def install(builtins: dict[str, Any]) -> None:
    """Watch this process until it ends."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in (
            "open",
            "os.listdir",
            "os.scandir",
            "os.fork",
            "os.forkpty",
            "subprocess.Popen",
        ):
            return
        what = arguments[0] if arguments else ""
        if event == "subprocess.Popen":
            command = arguments[1][:1] if isinstance(arguments[1], (list, tuple)) else ()
            what = os.path.basename(os.fspath(command[0])) if command else ""
            if what not in LINUX_TOOLS:
                return
        elif event in ("open", "os.listdir", "os.scandir"):
            if what is None or isinstance(what, int):
                return
            text = os.fsdecode(what)
            if not (text + "/").startswith(LINUX_PLACES):
                return
        if facts.on_linux():
            return
        frame = ours(builtins)
        if frame is None:
            return
        if event == "os.fork" and frame.f_globals.get("FORKS_ON_PURPOSE"):
            return  # what a fork does is the question; no framework of a Mac is loaded
        place = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
        facts.note(event, what, place)
        if not event.startswith("os.fork"):
            raise FileNotFoundError(2, "No such file or directory", what)  # as on a Mac

    sys.addaudithook(hook)
