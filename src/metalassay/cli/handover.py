"""Hand a command over to a program that imports torch: this process becomes that program."""

from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from metalassay.environment import extras
from metalassay.errors import UserError


def launch(command: str, options: argparse.Namespace, prefix: Sequence[str] = ()) -> int:
    """Replace this process by ``python -m metalassay.training`` with ``options``.

    ``prefix`` is a program, found on PATH, that runs the rest of its command line, as nice does.

    Replaced, and not started beside it: signals then reach the program that has to finish a step.
    Windows has no exec that keeps the console; there it is a child, whose exit code is returned.
    """
    extras.require(command.partition(" ")[0], "train", "torch")
    values = {name: value for name, value in vars(options).items() if not callable(value)}
    text = json.dumps({"argv": sys.argv[1:], **values, "command": command}, default=str)
    argv = [*prefix, sys.executable, "-P", "-m", "metalassay.training", text]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        try:
            os.execvp(argv[0], argv)  # noqa: S606  (no shell wanted)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise UserError(
                "the arguments are too long for this system to hand on", "a shorter prompt"
            ) from error
    return subprocess.run(argv, check=False).returncode  # noqa: S603  (our own module)
