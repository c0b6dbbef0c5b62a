"""Run one hazard or workload: `mps_child.py FUNCTION DEVICE`; mps_processes.py reads how it ends.

The exit code is 0 if the function returns, 77 if this torch or machine does not support it (the last
line of stderr is the reason), and 1 for an exception (the last line is its type and message).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import mps_hazards
import mps_workloads

UNSUPPORTED = 77


def functions() -> dict[str, Callable[[str], None]]:
    """Return what can be run, by name: the functions that take a device and return nothing."""
    return {
        name: function
        for module in (mps_hazards, mps_workloads)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and function is not mps_hazards.unclean
        and function.__annotations__ == {"device": "str", "return": "None"}
    }


def main(function: str, device: str) -> int:
    try:
        functions()[function](device)
    except mps_hazards.UnsupportedError as reason:
        print(" ".join(str(reason).split()), file=sys.stderr)  # noqa: T201
        return UNSUPPORTED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
