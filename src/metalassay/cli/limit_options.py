"""Options that ``run`` and ``train`` share: limits of CPU time and memory, and the monitor."""

from __future__ import annotations

import argparse

from metalassay.cli import option_types


def add(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add ``--max-cpu``, ``--max-memory``, in percent of the whole machine, and ``--monitor``; return their group."""
    group = parser.add_argument_group("limits and monitoring")
    group.add_argument(
        "--max-cpu",
        type=option_types.percent,
        metavar="PERCENT",
        help="pause the program when it uses more of all cores' time, children included",
    )
    group.add_argument(
        "--max-memory",
        type=option_types.percent,
        metavar="PERCENT",
        help="pause up to 30 s while more of the memory is in use, or the system is swapping",
    )
    group.add_argument(
        "--monitor",
        type=option_types.path,
        metavar="FILE",
        help="log the use of CPU and GPU and the free memory to this file, as JSON lines",
    )
    group.add_argument(
        "--every",
        type=option_types.positive,
        default=5.0,
        metavar="SECONDS",
        help="time between two lines of the log",
    )
    return group
