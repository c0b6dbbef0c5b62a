"""The command `metalassay explain`: what an error message, a traceback or a log means."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict

from metalassay.errors import UserError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "explain",
        help="name the known bug behind an error message, a traceback or a log",
        description="Name the known bug behind an error message, with its cause and its fixes.",
        epilog=(
            "examples:\n"
            "  metalassay explain \"local variable 'current_batch' referenced before assignment\"\n"
            "  python train.py 2>&1 | metalassay explain\n"
            "  metalassay explain --versions accelerate=1.8.0,torch=2.5.1 < log.txt\n"
            "\n"
            "exit code: 0 explained, 1 no known bug fits, 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="the message or traceback (default: standard input)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--python", metavar="EXE", help="the environment that the text comes from")
    where.add_argument(
        "--versions", metavar="P=V,...", help="the versions that the text comes from"
    )
    parser.add_argument("--all", action="store_true", help="show every bug that fits, not three")
    parser.add_argument(
        "--list", action="store_true", help="list the known bugs, and what they say"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.bugs import tracebacks
    from metalassay.diagnosis import explain
    from metalassay.environment import interpreters, versions

    if options.list:
        known = explain.known()
        print(json.dumps(known, indent=1) if options.json else explain.known_as_text(known))
        return 0
    text, left_out = " ".join(options.text), 0
    if not text and (sys.stdin is None or sys.stdin.isatty()):
        raise UserError(
            "there is no text to explain",
            'metalassay explain "MESSAGE", or: python train.py 2>&1 | metalassay explain',
        )
    if not text:
        text, left_out = tracebacks.read_tail(sys.stdin.buffer, tracebacks.MOST_BYTES)
    if not text.strip():
        raise UserError(
            "the text is empty",
            "errors go to stderr; pipe both: python train.py 2>&1 | metalassay explain",
        )
    if options.versions:
        installed = explain.parse_versions(options.versions)
    else:
        python = options.python
        installed = interpreters.versions_of(python) if python else versions.installed()
    if left_out:
        print(f"note: read the end; {left_out:,} bytes before it were left out", file=sys.stderr)
    answer = explain.explain(text, installed)
    if options.json:
        print(json.dumps({**asdict(answer), "bytes_left_out": left_out}, indent=1))
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        print(explain.as_text(answer, width, None if options.all else 3))
    return 0 if answer.explanations else 1
