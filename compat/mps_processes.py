"""Run code on MPS in a process of its own, or skip the test with the reason why this is impossible.

Nothing here imports torch, so that a machine without MPS skips quickly.
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
UNSUPPORTED = 77
SECONDS = 300
"""Time limit for one child process; the slowest, a first torch.compile, needs about a minute."""


def emulated() -> str | None:
    """Return the torch release whose MPS pytest --emulate-mps emulates here; None without emulation."""
    session = sys.modules.get("metalassay.mps.emulator.session")
    emulation = session.current() if session else None
    return emulation.torch if emulation else None


@functools.cache
def why_not_mps() -> str | None:
    """Return why nothing can run on MPS here; None if it can, even if only on an emulated one."""
    if emulated():
        return None
    if "torch" not in versions.installed():
        return "torch is not installed"
    if sys.platform != "darwin":
        return f"needs MPS, which only macOS has; this is {platform.system()}"
    from metalassay.mps.probe import probe

    result = probe()
    return None if result.state == "usable" else f"MPS is not usable here: {result.reason}"


def require_mps() -> None:
    """Skip the test, with the reason, if nothing can run on MPS."""
    reason = why_not_mps()
    if reason:
        pytest.skip(reason)


def run(*arguments: str, env: Mapping[str, str | None] | None = None) -> str:
    """Run Python with ``arguments`` in a new process and return what it prints.

    ``env`` sets environment variables; None removes one. Skips the test if the child exits with
    ``UNSUPPORTED``. Raises the built-in exception that ended the child, or a ``ChildProcessError`` with
    its last lines; ``AssertionError`` if a signal ended it and ``TimeoutError`` after ``SECONDS``.
    """
    program = [sys.executable]
    if version := emulated():
        program += ["-m", "metalassay.mps.emulator.run_child", version, "--"]
    try:
        child = subprocess.run(
            [*program, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            env=changed(os.environ, env or {}),
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the process did not end within {SECONDS} s") from None
    if child.returncode:
        raise_end(child.returncode, child.stderr)
    return child.stdout


def run_function(function: str, device: str = "mps") -> None:
    """Run one of the functions of mps_child.py on the device; skips and raises as ``run`` does.

    Also skips the test if the device is MPS and nothing can run there.
    """
    if device == "mps":
        require_mps()
    run(str(HERE / "mps_child.py"), function, device)


def changed(environment: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return a copy of the environment with the changes applied; None removes a variable."""
    merged = {**environment, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def raise_end(code: int, stderr: str) -> None:
    """Raise the exception, or the skip, that a child's exit code and stderr stand for; see ``run``."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if code == UNSUPPORTED:
        pytest.skip(last)
    if code < 0:
        name = signal.Signals(-code).name
        raise AssertionError(f"the process was ended by {name}: {' | '.join(lines[-3:])}")
    # A message may have several lines, so the last line that looks like an exception counts.
    for number in range(len(lines) - 1, -1, -1):
        raised = re.match(r"([\w.]+(?:Error|Exception|Warning))(?:: (.*))?$", lines[number])
        if raised:
            kind = getattr(builtins, raised[1], ChildProcessError)
            raise kind("\n".join([raised[2] or "", *lines[number + 1 :]]))
    raise ChildProcessError(f"exit code {code}: {' | '.join(lines[-3:])}")
