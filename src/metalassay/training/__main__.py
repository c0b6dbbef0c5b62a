"""``python -m metalassay.training JSON``: one command of the command line, in its own process."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from metalassay.errors import UserError
from metalassay.files import NO_ROOM
from metalassay.training.interrupt import sigterm_as_ctrl_c


def main(text: str) -> int:
    """Run the command that ``text`` describes and return its exit code."""
    options: dict[str, Any] = json.loads(text)
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"metalassay: {error.message}", file=sys.stderr)
        print(f"  next: {error.next_step}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # `| head` closed the pipe. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not options["command"].startswith("train"):
            return 0
        print("metalassay: nobody reads the output any more; stopped", file=sys.stderr)
        print("  next: the same with --resume", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in NO_ROOM:
            print(f"metalassay: no room to write: {error.strerror}", file=sys.stderr)
            print("  next: free some space and go on with --resume", file=sys.stderr)
        elif error.filename:  # of a rename, the second is the one that was wanted
            where = error.filename2 or error.filename
            print(f"metalassay: cannot use {where}: {error.strerror}", file=sys.stderr)
            print("  next: mend that, and say the same again", file=sys.stderr)
        else:
            raise
        return 2
    except ModuleNotFoundError as error:
        print(f"metalassay: {error.name} is not installed", file=sys.stderr)
        print("  next: pip install 'metalassay[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metalassay: stopped at once; nothing half-written", file=sys.stderr)
        return 130


def _run(options: dict[str, Any]) -> int:
    if options["command"] == "run":
        from metalassay.supervise import command

        return command.run(options)
    with sigterm_as_ctrl_c():  # already while torch is loaded
        from metalassay.training import commands

        return commands.COMMANDS[options["command"]](options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
