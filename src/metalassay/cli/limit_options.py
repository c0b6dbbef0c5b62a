"""Options that ``run`` and ``train`` have in common: the governor's limits, and the monitor's log."""

from __future__ import annotations

import argparse
from pathlib import Path

from metalassay.cli import option_types


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-cpu``, ``--max-memory``, in percent of the whole machine, and ``--monitor``."""
    group = parser.add_argument_group("limits, in percent of the whole machine, and a log")
    group.add_argument(
        "--max-cpu",
        type=option_types.percent,
        metavar="PERCENT",
        help="of all cores' time, children included; 100 is all cores",
    )
    group.add_argument(
        "--max-memory",
        type=option_types.percent,
        metavar="PERCENT",
        help="wait up to 30 s while more is in use, memory is under pressure, or swap is written",
    )
    group.add_argument(
        "--monitor", type=Path, metavar="FILE", help="log CPU and free memory, as JSON lines"
    )
    group.add_argument(
        "--every",
        type=option_types.positive,
        default=5.0,
        metavar="SECONDS",
        help="between the lines of --monitor (default: 5)",
    )
