"""The command `metalassay monitor`: watch a program that runs already."""

from __future__ import annotations

import argparse
import sys

from metalassay.cli import option_types


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Watch a program that runs already, with its children: a line every 30 seconds with the CPU use and the"
        " free memory of the machine, and what the program takes of both. Changes nothing. Ends with the"
        " program, or with Ctrl+C, and says how much memory it took at most, and whether that grows."
    )
    parser.epilog = """\
examples:
  metalassay monitor --name train.py
  metalassay monitor --pid 4242 --every 5 --log monitor.jsonl
  metalassay report --log monitor.jsonl                  plot it
  metalassay monitor --name train.py --json | jq .program_memory_bytes

To start a program so, and to keep it alive: metalassay run --help

exit code: 0 the program ended, 2 bad input, 130 you ended the watching"""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--pid", type=option_types.count, metavar="PID", help="the process's number")
    which.add_argument(
        "--name", metavar="TEXT", help="the program whose command line contains this"
    )
    parser.add_argument(
        "--every",
        type=option_types.positive,
        default=30.0,
        metavar="SECONDS",
        help="time between two lines",
    )
    parser.add_argument(
        "--log",
        type=option_types.path,
        metavar="FILE",
        help="write the figures to this file too, as JSON lines",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.errors import UserError
    from metalassay.supervise import monitor, running

    monitor.check_interval(options.every)
    if options.name is not None and not options.name.strip():
        raise UserError("--name is empty", "metalassay monitor --name train.py")
    process = running.by_pid(options.pid) if options.pid else running.by_name(options.name)

    def notify(text: str) -> None:
        print(f"metalassay: {text}", file=sys.stderr, flush=True)

    summary = running.watch(
        process,
        options.every,
        lambda line: print(line, flush=True),
        notify,
        as_json=options.json,
        log=options.log,
    )
    notify(summary.text())
    return 0 if summary.ended else 130
