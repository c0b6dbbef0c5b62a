"""The command ``run``: its arguments, and the program that it starts."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
from typing import TYPE_CHECKING

from metalassay.cli import handover, limit_options
from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EMULATE = "metalassay run --emulate-mps -- python train.py"
_LIMIT = "metalassay run --max-cpu 70 -- python train.py"


def add(commands: Commands) -> None:
    """Add the command to the parser; ``govern`` is what a part of it was called before."""
    parser = commands.add_parser(
        "run",
        aliases=["govern"],
        help="run your program held to a share of the machine, or with an emulated mps device",
        usage=(
            "metalassay run [--max-cpu PERCENT] [--max-memory PERCENT] [--background]\n"
            "                      [--monitor FILE] [--emulate-mps[=TORCH]] -- COMMAND"
        ),
        description=(
            "Run a program of yours, unchanged. With limits, it and its children are stopped and set"
            " going again so that they keep to their share of the whole machine; a program that uses"
            " less is never stopped, whatever else the machine does. With --emulate-mps it finds an"
            " mps device that is emulated on the CPU: operators without a kernel on MPS fail as on a"
            " Mac. That says nothing about numbers and speed, and needs Linux, a CPU build of torch,"
            " and once a C++ compiler."
        ),
        epilog=(
            "examples:\n"
            "  metalassay run --max-cpu 70 --max-memory 60 -- python train.py\n"
            "  metalassay run --monitor cpu.jsonl --every 5 -- make -j8\n"
            "  metalassay run --emulate-mps -- python train.py --device mps\n"
            "  metalassay run --emulate-mps=2.8 -- python -m package.train\n"
            "  pytest --emulate-mps                          your tests\n"
            "\n"
            "With limits any command will do; with --emulate-mps it has to be Python's. Processes\n"
            "that an emulated program starts have no mps; forked ones (workers of a DataLoader) do.\n"
            "\n"
            "exit code: the program's, 128 + N where signal N ended it; 2 if it could not be started"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", nargs="*", metavar="COMMAND", help="after --: what to run")
    parser.add_argument(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="with the operators of this release (default: the torch that runs)",
    )
    limit_options.add(parser)
    parser.add_argument(
        "--background", action="store_true", help="macOS: background quality of service as well"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say at the end how long it was held back"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    limited = options.max_cpu or options.max_memory or options.background or options.monitor
    if options.emulate_mps is None and not limited:
        raise UserError("say what to hold it to, or what to emulate", f"{_LIMIT}, or: {_EMULATE}")
    if options.emulate_mps is not None:
        options.program = _emulated(options.emulate_mps, options.program)
    elif not options.program:
        raise UserError("no program to run", _LIMIT)
    if limited:
        return handover.launch("run", options)
    process = subprocess.Popen(options.program)  # noqa: S603  (what the user asked to run)
    while True:
        # Ctrl+C reaches the child as well, and it is the program's to end.
        with contextlib.suppress(KeyboardInterrupt):
            code = process.wait()
            break
    # A signal that ended it, as a shell says it.
    return code if code >= 0 else 128 - code


def _emulated(torch: str, program: list[str]) -> list[str]:
    """Return the command that runs ``program`` with an emulated mps device."""
    from metalassay.mps import program_arguments
    from metalassay.mps.operators import oracle

    if torch:
        oracle.load(torch)  # a bad version is said before anything is started
    python, flags, rest = program_arguments.split(program, _EMULATE)
    child = "metalassay.mps.emulator.run_child"
    probe = [python, "-c", "import metalassay.mps.emulator.run_child"]
    if subprocess.run(probe, capture_output=True).returncode != 0:  # noqa: S603
        raise UserError(
            f"{python} has no metalassay, which runs beside the program",
            f"{python} -m pip install 'metalassay[emulator]'",
        )
    return [python, *flags, "-m", child, torch, "--", *rest]
