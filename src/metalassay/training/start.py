"""What a command that trains does first, and what is said of how it ends."""

from __future__ import annotations

import json
import sys
from typing import Any

from metalassay import interrupts, streams
from metalassay.files import NO_ROOM


def main(text: str) -> int:
    """Run the command that ``text`` describes and return its exit code."""
    options: dict[str, Any] = json.loads(text)

    def when_unread() -> int:
        if not options["command"].startswith("train"):
            return 0
        print("metalassay: the reader of the output is gone; stopped", file=sys.stderr)
        print(
            "  next: run the same command again, with --resume if it left a checkpoint",
            file=sys.stderr,
        )
        return 1

    return streams.run(lambda: _explained(options), when_unread)


def _explained(options: dict[str, Any]) -> int:
    try:
        return _run(options)
    except streams.UnreadError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            print(f"metalassay: no room to write: {error.strerror}", file=sys.stderr)
            print(
                "  next: free some space and run it again, with --resume if it left a checkpoint",
                file=sys.stderr,
            )
        elif error.filename:  # of a rename, the second is the intended name
            where = error.filename2 or error.filename
            print(f"metalassay: cannot use {where}: {error.strerror}", file=sys.stderr)
            print("  next: fix this and run the command again", file=sys.stderr)
        else:
            raise
        return 2
    except ModuleNotFoundError as error:
        print(f"metalassay: {error.name} is not installed", file=sys.stderr)
        print("  next: pip install 'metalassay[train]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metalassay: stopped at once; no unfinished files are left", file=sys.stderr)
        return 130


def _run(options: dict[str, Any]) -> int:
    with interrupts.end_at_once():  # torch takes seconds to load
        from metalassay.training import commands
    with interrupts.end_as_ctrl_c():
        return commands.COMMANDS[options["command"]](options)
