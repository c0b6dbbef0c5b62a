"""The command `metalassay explain`: explain an error message, a traceback or a log."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict

from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Name the known bug behind an error message, with its cause and its fixes for the installed"
        " versions."
    )
    parser.epilog = """\
examples:
  metalassay explain "local variable 'current_batch' referenced before assignment"
  python train.py 2>&1 | metalassay explain
  metalassay explain --versions accelerate=1.8.0,torch=2.5.1 < log.txt

exit code: 0 explained, 1 no known bug fits, 2 bad input"""
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="the message or traceback (default: standard input)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--env",
        "--python",
        dest="env",
        metavar="DIR|PYTHON",
        help="use the versions of another environment: its folder or its interpreter",
    )
    where.add_argument(
        "--versions",
        metavar="P=V,...",
        help="use these versions, as in accelerate=1.8.0,torch=2.5.1",
    )
    parser.add_argument(
        "--all", action="store_true", help="show every bug that fits, not the first three"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the known bugs and their messages"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


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
        python = interpreters.find(options.env) if options.env else None
        installed = interpreters.versions_of(python) if python else versions.installed()
    if left_out:
        print(
            f"note: only the end was read; {left_out:,} bytes before it were left out",
            file=sys.stderr,
        )
    answer = explain.explain(text, installed)
    if options.json:
        print(json.dumps({**asdict(answer), "bytes_left_out": left_out}, indent=1))
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        print(explain.as_text(answer, width, None if options.all else 3))
    return 0 if answer.explanations else 1
