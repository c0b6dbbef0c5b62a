"""Run code on MPS in a process of its own, or skip the test with the reason why this is impossible.

Nothing here imports torch, so that a machine without MPS skips quickly.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import functools
import json
import os
import platform
import re
import select
import signal
import subprocess
import sys
import warnings
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
    try:
        child = subprocess.run(
            [*_program(), *arguments],
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


def run_function(function: str, device: str = "mps", *, shared: bool = False) -> None:
    """Run one of the functions of mps_child.py on the device; skips and raises as ``run`` does.

    Also skips the test if the device is MPS and nothing can run there. With ``shared``, a process that lives
    on runs it, so that torch is imported once for many tests. What does not pass there, because it failed,
    crashed or hung, runs again in a process of its own, which decides.
    """
    if device == "mps":
        require_mps()
    failed = _shared().fails(function, device) if shared else ""
    if failed is None:
        return
    run(str(HERE / "mps_child.py"), function, device)
    if failed:
        warnings.warn(
            f"{function} passed in a process of its own, but not after others: {failed}",
            stacklevel=2,
        )


def may_share(test: pytest.Item) -> bool:
    """Whether a test may share its process: one that needs seconds, and none that is expected to fail."""
    return not any(test.get_closest_marker(name) for name in ("long", "xfail"))


class SharedChild:
    """A process of mps_child.py that runs functions one after the other; a new one after each that ends."""

    def __init__(self, patience: float = 60.0) -> None:
        self.patience = patience  # seconds for one function, and the import of torch
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def fails(self, function: str, device: str) -> str | None:
        """Return how a function failed, None if it passed; skips the test if it is not supported."""
        if self._process is None:
            self._process = subprocess.Popen(
                [*_program(), str(HERE / "mps_child.py"), "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{function} {device}\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], self.patience)
            line = process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line, ready = "", [process.stdout]
        if not line:
            self.close()
            if not ready:
                return f"it did not end within {self.patience:g} s"
            return f"it ended the process with exit code {process.returncode}"
        answer = json.loads(line)
        if answer["code"] == UNSUPPORTED:
            pytest.skip(answer["text"])
        return None if answer["code"] == 0 else answer["text"]

    def close(self) -> None:
        """End the process; the next function begins another one."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(
                BrokenPipeError
            ):  # what was never read of a process that ended
                pipe and pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # for its own exit code, not ours
        self._process.kill()
        self._process.wait()
        self._process = None


_shared = functools.cache(SharedChild)


def _program() -> list[str]:
    """Return the command that runs Python with MPS, if necessary an emulated one."""
    version = emulated()
    emulation = ["-m", "metalassay.mps.emulator.run_child", version, "--"] if version else []
    return [sys.executable, *emulation]


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
