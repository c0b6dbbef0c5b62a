"""Runs `FUNCTION DEVICE`, and ends as mps_processes.py understands.

The exit code is 0 where the function returns, 77 where it cannot be asked here, with the reason as
last line on stderr, and 1 for an exception, with its type and message as last line there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import mps_hazards
import mps_layer_hazards
import mps_workloads

CANNOT_ASK = 77


def functions() -> dict[str, Callable[[str], None]]:
    """Return what can be run by name: the public functions from a device to nothing."""
    return {
        name: each
        for module in (mps_hazards, mps_layer_hazards, mps_workloads)
        for name, each in vars(module).items()
        if inspect.isfunction(each)
        and each.__module__ == module.__name__
        and each is not mps_hazards.unclean
        and each.__annotations__ == {"device": "str", "return": "None"}
    }


def main(function: str, device: str) -> int:
    try:
        functions()[function](device)
    except mps_hazards.CannotAskError as reason:
        print(" ".join(str(reason).split()), file=sys.stderr)  # noqa: T201
        return CANNOT_ASK
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
