"""Run a program with an emulated mps device, in this Python.

``python -m metalassay.mps.emulator.run_child TORCH -- script.py ARGS``, ``-- -m module ARGS``,
``-- -c CODE`` or ``-- module:function``. TORCH is the release to emulate, or "" for the installed one.
"""

from __future__ import annotations

import contextlib
import sys

from metalassay.errors import UserError
from metalassay.mps import program_runner
from metalassay.mps.emulator import session


def main() -> int:
    """Run the program under the emulation; return 0, or 2 if the emulation cannot start."""
    version, _, *program = sys.argv[1:]
    with contextlib.ExitStack() as stack:
        try:
            session.start(stack, version or None)
        except UserError as error:
            print(f"metalassay: {error.message}\n  next: {error.next_step}", file=sys.stderr)  # noqa: T201
            return error.exit_code
        # Only now: it imports torch.
        from metalassay.mps import ported, ported_watch

        watch = ported_watch.Watch(ported.rows())
        watch.start()
        try:
            program_runner.run(program)
        finally:
            watch.stop()
            for line in ported.summary(watch.entries()):
                print(line, file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
