"""Run a tool of the operating system and return what it prints; a missing tool is not an error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence


def output(command: Sequence[str], seconds: float, *, must_succeed: bool = True) -> str:
    """Return the standard output of ``command``, or "" if it is missing, fails or times out.

    ``seconds`` is the time limit. With ``must_succeed=False`` the output of a command that ends with
    an error code counts too. Only for fixed commands: there is no shell and no input. Never raises.
    """
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        return subprocess.run(  # noqa: S603  (constant arguments, no shell)
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=must_succeed,
            encoding="utf-8",
            errors="replace",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
