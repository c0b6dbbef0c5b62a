"""The command line: parse, call, print. Heavy imports stand inside the commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from metalassay import __version__
from metalassay.cli import (
    bisect,
    claims,
    compare,
    dataloader,
    doctor,
    explain,
    max_batch,
    ops,
    preflight,
    report,
    resolve,
    run,
    selftest,
    submit,
    train,
)
from metalassay.cli.parser import Parser
from metalassay.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 fine, 1 found something, 2 bad input."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"metalassay: {error.message}", file=sys.stderr)
        print(f"  next: {error.next_step}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # `| head` closed the pipe. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("metalassay: interrupted; nothing half-written", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="metalassay",
        description="What PyTorch, accelerate and transformers really do on Apple silicon.",
        epilog=(
            "examples:\n"
            "  metalassay doctor                    what is wrong here, and what fixes it\n"
            "  metalassay doctor --env .venv        the same of another environment\n"
            "  metalassay explain < log.txt         what an error message or a log means\n"
            "  metalassay ops linalg_qr             which torch has this operator on MPS\n"
            "  metalassay report                    tables from everything under reports/\n"
            "  nox                                  the quick matrix, a benchmark, and the report"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"metalassay {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    doctor.add(commands)

    resolve.add(commands)
    bisect.add(commands)
    explain.add(commands)
    compare.add(commands)
    dataloader.add(commands)
    max_batch.add(commands)
    ops.add(commands)
    preflight.add(commands)
    run.add(commands)
    selftest.add(commands)
    claims.add(commands)
    train.add(commands)
    report.add(commands)
    submit.add(commands)
    return parser
