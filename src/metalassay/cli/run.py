"""The command `metalassay run`: run a program with limits, or with an emulated mps device."""

from __future__ import annotations

import argparse
import contextlib
import subprocess

from metalassay.cli import handover, limit_options
from metalassay.errors import UserError

_EMULATE = "metalassay run --emulate-mps -- python train.py"
_LIMIT = "metalassay run --max-cpu 70 -- python train.py"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.usage = (
        "metalassay run [--max-cpu PERCENT] [--max-memory PERCENT] [--background] [--monitor FILE]"
        " [--emulate-mps[=TORCH]] -- COMMAND"
    )
    parser.description = (
        "Run a program with CPU and memory limits, or with an emulated mps device. With limits, the"
        " program and its children are paused and continued so that they keep to their share of the"
        " whole machine; a program that uses less is never paused, however busy the machine is."
        " With --emulate-mps the program gets an mps device that runs on the CPU: operators without"
        " a kernel on MPS fail as on a Mac. It shows neither numerical results nor speed of MPS, and needs Linux,"
        " a CPU build of torch, and a C++ compiler the first time."
    )
    parser.epilog = """\
examples:
  metalassay run --max-cpu 70 --max-memory 60 -- python train.py
  metalassay run --monitor cpu.jsonl --every 5 -- make -j8
  metalassay run --emulate-mps -- python train.py --device mps
  metalassay run --emulate-mps=2.8 -- python -m package.train
  pytest --emulate-mps                          your tests

Limits work for any command. On a Mac whose kernel does not tell what ended processes have used, one that
lives shorter than a quarter of a second may not count (a step of a shell script). --emulate-mps needs a Python program. Processes that an emulated program
starts have no mps; forked ones (workers of a DataLoader) do.

exit code: the program's, or 128 + N if signal N ended it; 2 if it could not be started"""
    parser.add_argument("program", nargs="*", metavar="COMMAND", help="the program, after --")
    parser.add_argument(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="emulate mps, with the operators of this torch (of the installed one if left out)",
    )
    limit_options.add(parser)
    parser.add_argument(
        "--background",
        action="store_true",
        help="macOS: also run with background quality of service",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print at the end how long it was paused"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    limited = options.max_cpu or options.max_memory or options.background or options.monitor
    if options.emulate_mps is None and not limited:
        raise UserError("no limit and no device to emulate is given", f"{_LIMIT}, or: {_EMULATE}")
    if options.emulate_mps is not None:
        options.program = _emulated(options.emulate_mps, options.program)
    elif not options.program:
        raise UserError("no program to run", _LIMIT)
    if limited:
        return handover.launch("run", options)
    process = subprocess.Popen(options.program)  # noqa: S603  (what the user asked to run)
    while True:
        # Ctrl+C reaches the child as well, and the program decides how to end.
        with contextlib.suppress(KeyboardInterrupt):
            code = process.wait()
            break
    # As a shell reports a signal that ended the program.
    return code if code >= 0 else 128 - code


def _emulated(torch: str, program: list[str]) -> list[str]:
    """Return the command that runs ``program`` with an emulated mps device."""
    from metalassay.mps import program_arguments
    from metalassay.mps.operators import oracle

    if torch:
        oracle.load(torch)  # report a bad version before anything is started
    python, flags, rest = program_arguments.split(program, _EMULATE)
    child = "metalassay.mps.emulator.run_child"
    probe = [python, "-c", "import metalassay.mps.emulator.run_child"]
    if subprocess.run(probe, capture_output=True).returncode != 0:  # noqa: S603
        raise UserError(
            f"{python} has no metalassay, which runs beside the program",
            f"{python} -m pip install 'metalassay[emulator]'",
        )
    return [python, *flags, "-m", child, torch, "--", *rest]
