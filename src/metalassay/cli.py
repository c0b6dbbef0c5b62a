"""The command line: parse, call, print. Heavy imports stand inside the commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from metalassay import __version__
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
    parser = argparse.ArgumentParser(
        prog="metalassay",
        description="What PyTorch, accelerate and transformers really do on Apple silicon.",
        epilog=(
            "examples:\n"
            "  metalassay doctor                    which known bugs apply to this environment\n"
            "  metalassay doctor --python .venv/bin/python\n"
            "  metalassay report                    tables from everything under reports/\n"
            "  nox                                  the quick matrix, a benchmark, and the report"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"metalassay {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    doctor = commands.add_parser(
        "doctor",
        help="hold the installed versions against the known bugs",
        description="Hold the installed versions against the known bugs. Imports none of them.",
        epilog="exit code: 0 no known bug applies, 1 at least one does, 2 bad input",
    )
    doctor.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    doctor.add_argument("--python", metavar="EXE", help="examine another interpreter's environment")
    doctor.set_defaults(command=_doctor)

    report = commands.add_parser(
        "report",
        help="make the tables from verdict files and benchmark runs",
        description="Make report.md and report.html from verdict files and benchmark runs.",
        epilog=(
            "examples:\n"
            "  metalassay report                              everything under reports/\n"
            "  metalassay report m4/*.json m4pro/*.json       two machines side by side\n"
            "\n"
            "exit code: 0 all files read, 1 some files were left out (named on stderr), 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files or folders (default: reports)"
    )
    report.add_argument(
        "-o", "--output", type=Path, metavar="DIR", default=Path("reports"), help="where to write"
    )
    report.set_defaults(command=_report)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from metalassay import doctor, versions

    installed = doctor.versions_of(options.python) if options.python else versions.installed()
    diagnosis = doctor.diagnose(installed)
    print(json.dumps(asdict(diagnosis), indent=1) if options.json else doctor.as_text(diagnosis))
    return 1 if diagnosis.findings else 0


def _report(options: argparse.Namespace) -> int:
    from metalassay import report, runs

    loaded = runs.load(options.files or [Path("reports")])
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    made = report.build(loaded)
    markdown, page = report.write_report(made, options.output)
    print(report.terminal_text(made))
    print(f"{markdown}\n{page}")
    return 1 if loaded.warnings else 0
