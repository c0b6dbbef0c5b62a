"""``python -m metalassay.training JSON``: one command of the command line, in its own process."""

from __future__ import annotations

import json
import sys
from typing import Any

from metalassay.errors import UserError
from metalassay.files import NO_ROOM
from metalassay.training.interrupt import sigterm_as_ctrl_c


def main(text: str) -> int:
    """Run the command that ``text`` describes and return its exit code."""
    options: dict[str, Any] = json.loads(text)
    try:
        return _run(options)
    except UserError as error:
        print(f"metalassay: {error.message}", file=sys.stderr)
        print(f"  next: {error.next_step}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"metalassay: no room to write: {error.strerror}", file=sys.stderr)
        print("  next: free some space and go on with --resume", file=sys.stderr)
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
        from metalassay.training import govern

        return govern.run(options)
    with sigterm_as_ctrl_c():  # already while torch is loaded
        from metalassay.training import commands

        return commands.COMMANDS[options["command"]](options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
