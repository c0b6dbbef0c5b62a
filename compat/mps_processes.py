"""Starts what must run in a process of its own on MPS, and says why it does not where it cannot.

Nothing here imports torch: a machine without MPS must skip without paying for it.
"""

from __future__ import annotations

import builtins
import functools
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from metalassay.environment import versions

HERE = Path(__file__).parent
CANNOT_ASK = 77
SECONDS = 300
"""Time for one child process; the slowest, torch.compile for the first time, needs about a minute."""


def emulated() -> str | None:
    """Return the torch release whose MPS is emulated here (pytest --emulate-mps), None for none."""
    session = sys.modules.get("metalassay.mps.emulator.session")
    emulation = session.current() if session else None
    return emulation.torch if emulation else None


@functools.cache
def why_not_mps() -> str | None:
    """Return why nothing can be run on MPS here, None where it can, if only as an emulation."""
    if emulated():
        return None
    if "torch" not in versions.installed():
        return "torch is not installed"
    if sys.platform != "darwin":
        return f"needs MPS, which is Apple's; this is {platform.system()}"
    from metalassay.mps.probe import probe

    found = probe()
    return None if found.state == "usable" else f"MPS is not usable here: {found.reason}"


def require_mps() -> None:
    """Skip the test, with the reason, where nothing can be run on MPS."""
    reason = why_not_mps()
    if reason:
        pytest.skip(reason)


def run(*arguments: str, env: Mapping[str, str | None] | None = None) -> str:
    """Run Python with ``arguments`` in a new process and return what it prints.

    ``env`` changes the variables it is given; None takes one away. Skips the test where the child
    says that it cannot be asked. Raises the built-in exception that ended the child, or else a
    ``ChildProcessError`` with its last words; ``AssertionError`` for an end by a signal and
    ``TimeoutError`` after ``SECONDS``.
    """
    program = [sys.executable]
    if version := emulated():
        program += ["-m", "metalassay.mps.emulator.run_child", version, "--"]
    try:
        done = subprocess.run(
            [*program, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            env=changed(os.environ, env or {}),
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the process did not end within {SECONDS} s") from None
    if done.returncode:
        end(done.returncode, done.stderr)
    return done.stdout


def run_function(function: str, device: str = "mps") -> None:
    """Run a function that mps_child.py knows on the device; ends as ``run`` does.

    Skips the test where the device is MPS and nothing can be run there.
    """
    if device == "mps":
        require_mps()
    run(str(HERE / "mps_child.py"), function, device)


def changed(environment: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the environment with the changes made; None takes a variable away."""
    every = {**environment, **changes}
    return {name: value for name, value in every.items() if value is not None}


def end(code: int, stderr: str) -> None:
    """Raise what the exit code and the last words of a child mean; see ``run``."""
    words = [line for line in stderr.splitlines() if line.strip()]
    last = words[-1] if words else ""
    if code == CANNOT_ASK:
        pytest.skip(last)
    if code < 0:
        name = signal.Signals(-code).name
        raise AssertionError(f"the process was ended by {name}: {' | '.join(words[-3:])}")
    # A message may have several lines, so the exception is the last line that looks like one.
    for number in range(len(words) - 1, -1, -1):
        raised = re.match(r"([\w.]+(?:Error|Exception|Warning))(?:: (.*))?$", words[number])
        if raised:
            kind = getattr(builtins, raised[1], ChildProcessError)
            raise kind("\n".join([raised[2] or "", *words[number + 1 :]]))
    raise ChildProcessError(f"exit code {code}: {' | '.join(words[-3:])}")
