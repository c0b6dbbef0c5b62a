"""``metalassay govern``: a governor around a command that knows nothing of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from metalassay.errors import UserError
from metalassay.training.governor import Governor


def run(options: Mapping[str, Any]) -> int:
    """Run ``options["program"]`` under a governor; return its exit code, as a shell would.

    Ctrl+C reaches the program from the terminal, so it alone decides; SIGTERM is passed on.
    """
    command = [*_background(options["background"], sys.platform), *options["program"]]
    governor = Governor(options["max_cpu"] / 100, options["max_memory"] / 100, say=_say)
    child: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        for each in child:
            each.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    before = signal.signal(signal.SIGINT, pass_nothing_on)
    with governor:
        try:
            # In the child, SIGINT is as it was here: a handler does not outlive an exec.
            child.append(subprocess.Popen(command))  # noqa: S603  (the user's own command)
        except OSError as error:
            raise UserError(
                f"cannot start {command[0]}: {error.strerror}",
                "metalassay govern --max-cpu 70 -- python train.py",
            ) from error
        code = child[0].wait()
    signal.signal(signal.SIGINT, before)
    if options["verbose"]:
        _say(f"held back for {governor.state().paused:.1f} s")
    return code if code >= 0 else 128 - code


def pass_nothing_on(number: int, frame: FrameType | None) -> None:
    """Leave Ctrl+C to the program, which the terminal sends it to as well."""


def _background(wanted: bool, platform: str) -> list[str]:
    if not wanted:
        return []
    if platform != "darwin":
        raise UserError("--background is macOS's quality of service", "leave it out, or use nice")
    return ["taskpolicy", "-b"]


def _say(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)
