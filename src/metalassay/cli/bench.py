"""The command `metalassay bench`: what this machine does, in minutes, with a file to contribute."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import option_types

if TYPE_CHECKING:
    from metalassay.bench.run import Finished


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Measure this machine: train and run the guides' CNN and a small GPT, on the GPU if it works and on"
        " the CPU. First the clock is tested; if it cannot be trusted, nothing is measured. Takes less than"
        " three minutes. Ends with a table beside figures that others published for the M4 and the M4 Pro,"
        " and leaves a card (SVG) and a result file without names and paths, which you may contribute."
        " Repeated in the same folder, it compares with the last run. Sends nothing."
    )
    parser.epilog = """\
examples:
  uvx --from 'metalassay[bench]' metalassay bench      installs nothing for good
  metalassay bench                                     GPU and CPU
  metalassay bench --full                              more workloads, and the largest batch
  metalassay bench --device cpu --output runs
  metalassay bench --profile                           and where a step of each goes
  metalassay bench --json --quiet > bench.json

Close other programs and plug a laptop in first: a busy, hot or battery-powered run is marked as such.
What `metalassay results check` would say of the file is printed at the end.

exit code: 0 measured, 1 the clock cannot be trusted or a benchmark failed, 2 bad input,
130 interrupted, by Ctrl+C, SIGTERM or SIGHUP"""
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="measure this device alone; auto is the GPU, if one works, and the CPU",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="ten minutes: every workload, and the largest batch that fits",
    )
    parser.add_argument(
        "--seconds-per-workload",
        type=option_types.number(above=0, most=600),
        metavar="S",
        help="seconds of timed rounds of each workload (default: 5, and 6 with --full); a run with less"
        " than 1 is too short to be accepted",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        metavar="DIR",
        default=Path(),
        help="write the files to this folder (default: here)",
    )
    parser.add_argument(
        "--allow-emulated",
        action="store_true",
        help="rehearse with an mps that is emulated on the CPU; nothing is measured, and all says so",
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        type=option_types.count,
        const=10,
        default=0,
        metavar="STEPS",
        help="after the measuring, profile this many steps (10) of each workload in processes of their own:"
        " a table by operator, and a trace for Perfetto; they enter no figure",
    )
    parser.add_argument("--quiet", action="store_true", help="print the end only, without progress")
    parser.add_argument("--json", action="store_true", help="print the end as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code; a signal ends it as Ctrl+C does."""
    from metalassay import interrupts

    try:
        with interrupts.Interrupts() as caught, caught.at_once():
            return _run(options)
    except KeyboardInterrupt:
        interrupts.ignore()  # what is left is to say so, and the exit code
        raise


def _run(options: argparse.Namespace) -> int:
    from metalassay.bench import devices
    from metalassay.bench import run as bench

    devices.require()
    finished = bench.run(
        bench.Wanted(
            options.device,
            options.output,
            full=options.full,
            seconds=options.seconds_per_workload,
            emulated=options.allow_emulated,
            profile=options.profile,
        ),
        None if options.quiet else sys.stderr,
    )
    if finished.proof:
        print(
            f"metalassay: the clock of this machine cannot be trusted: {finished.proof}",
            file=sys.stderr,
        )
        print(
            "  next: close other programs and try again; or: metalassay selftest", file=sys.stderr
        )
        return 1
    if options.json:
        print(json.dumps(bench.as_dict(finished), indent=1))
    else:
        _print(finished)
    if finished.unwritten is not None:
        raise finished.unwritten
    return 1 if finished.failed else 0


def _print(finished: Finished) -> None:
    from metalassay.bench import run as bench
    from metalassay.bench import summary
    from metalassay.report.render import terminal

    width = max(terminal.NARROWEST, shutil.get_terminal_size((80, 24)).columns)
    if finished.rehearsal:
        print(terminal.filled(finished.rehearsal, width))
    print(terminal.fitted(finished.table, width))
    for note in finished.table.notes:
        print(terminal.filled(note, width, "  ", "- "))
    print("  Sources of the published figures:")
    for address in summary.sources(finished.roofs):
        print(f"  {address}")
    if finished.since:
        print(f"\nAgainst the last run on this machine in this folder, of {finished.since}:")
        for row in finished.rows:
            print(terminal.filled(f"{row.label}: {summary.change(row)}", width, "    ", "  "))
        print(terminal.filled(summary.ON_TWO_RUNS, width, "  ", "- "))
    for each in finished.profiles:
        if not each.why:
            print(f"\n{each.step}")
            for line in each.lines:
                print(line if len(line) <= width else terminal.filled(line, width, "  "))
    print()
    for line in bench.last_lines(finished):
        # An address stays on one line, to be clicked or copied.
        print(line if "://" in line else terminal.filled(line, width, "  "))
