"""Run a program so that it leaves the machine to its user: the least priority that the system has."""

from __future__ import annotations

import shutil

from metalassay.errors import UserError

MAX_CPU, MAX_MEMORY = 70.0, 60.0
"""Percent of the whole machine, as guide 004 has it, where a training in the background has no limits of its own."""


def prefix(platform: str) -> list[str]:
    """Return the command to put before that of a program; ``platform`` is `sys.platform`.

    macOS has a quality of service for it: on Apple silicon such a program runs on the efficiency cores alone,
    and reads and writes files after all others (`man taskpolicy`). Elsewhere it is the niceness. Raises
    ``UserError`` where the system has neither.
    """
    command = ["taskpolicy", "-b"] if platform == "darwin" else ["nice", "-n", "19"]
    if shutil.which(command[0]) is None:
        raise UserError(f"--background needs {command[0]}, which is not here", "leave it out")
    return command
