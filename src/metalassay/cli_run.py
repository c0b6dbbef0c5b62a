"""The command ``run``: its arguments, and the program that it starts."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
from typing import TYPE_CHECKING

from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXAMPLE = "metalassay run --emulate-mps -- python train.py"


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run your program with an mps device that is emulated on the CPU",
        usage="metalassay run --emulate-mps[=TORCH] -- python train.py ARGS | module:function",
        description=(
            "Run your own program, unchanged, with an mps device that is emulated on the CPU of this"
            " machine: operators without a kernel on MPS fail as on a Mac. Says nothing about"
            " numbers and speed. Needs Linux, a CPU build of torch, and once a C++ compiler."
        ),
        epilog=(
            "examples:\n"
            "  metalassay run --emulate-mps -- python train.py --device mps\n"
            "  metalassay run --emulate-mps=2.8 -- python -m package.train\n"
            "  pytest --emulate-mps                          your tests\n"
            "\n"
            "Processes that the program starts have no mps; forked ones (workers of a DataLoader)"
            " do.\n"
            "\n"
            "exit code: the program's; 2 if it could not be started"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", nargs="*", metavar="PROGRAM", help="what to run")
    parser.add_argument(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="with the operators of this release (default: the torch that runs)",
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from metalassay.mps import oracle, preflight_run

    if options.emulate_mps is None:
        raise UserError("say what to emulate", _EXAMPLE)
    if options.emulate_mps:
        oracle.load(options.emulate_mps)  # a bad version is said before anything is started
    python, flags, program = preflight_run.split(options.program, _EXAMPLE)
    child = "metalassay.mps.emulator.run_child"
    probe = [python, "-c", "import metalassay.mps.emulator.run_child"]
    if subprocess.run(probe, capture_output=True).returncode != 0:  # noqa: S603
        raise UserError(
            f"{python} has no metalassay, which runs beside the program",
            f"{python} -m pip install 'metalassay[emulator]'",
        )
    command = [python, *flags, "-m", child, options.emulate_mps, "--", *program]
    process = subprocess.Popen(command)  # noqa: S603  (what the user asked to run)
    while True:
        # Ctrl+C reaches the child as well, and it is the program's to end.
        with contextlib.suppress(KeyboardInterrupt):
            code = process.wait()
            break
    # A signal that ended it, as a shell says it.
    return code if code >= 0 else 128 - code
