"""The command ``govern``: its arguments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from metalassay import launching
from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "govern",
        help="hold a program to a share of the machine's CPU time and memory",
        description=(
            "Run a program and keep it, with its children, to a share of the whole machine: 100 is"
            " all cores. One that uses less is never paused, whatever else the machine does."
        ),
        epilog=(
            "examples:\n"
            "  metalassay govern --max-cpu 70 -- python train.py\n"
            "  metalassay govern --max-cpu 50 --max-memory 60 -- python -m package.train\n"
            "\n"
            "exit code: the program's, or 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    limits(parser, 100)
    parser.add_argument(
        "--background", action="store_true", help="macOS: background quality of service as well"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say at the end how long it was held back"
    )
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help="after --: what to run")
    parser.set_defaults(command=_govern)


def limits(parser: argparse.ArgumentParser, default: int | None) -> None:
    """Add the limits, in percent of the whole machine."""
    parser.add_argument(
        "--max-cpu",
        type=float,
        default=default,
        metavar="PERCENT",
        help="of all cores' time, children included",
    )
    parser.add_argument(
        "--max-memory",
        type=float,
        default=default,
        metavar="PERCENT",
        help="wait up to 30 s while more is in use, memory is under pressure, or swap is written",
    )


def _govern(options: argparse.Namespace) -> int:
    if options.max_cpu == options.max_memory == 100 and not options.background:
        raise UserError("there is no limit", "metalassay govern --max-cpu 70 -- python train.py")
    return launching.launch("govern", options)
