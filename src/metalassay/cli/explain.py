"""The command `metalassay explain`: explain an error message, a traceback or a log."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from metalassay import language
from metalassay.cli import option_types
from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Say what an error message or a log means: the known bug, limit or mistake that ended the"
        " program, its cause, and what to do with the installed versions."
    )
    parser.epilog = """\
examples:
  metalassay explain "local variable 'current_batch' referenced before assignment"
  python train.py 2>&1 | metalassay explain
  metalassay explain --versions accelerate=1.8.0,torch=2.5.1 < log.txt
  metalassay explain --lang zh < log.txt    the most frequent answers in Chinese

exit code: 0 explained, 1 nothing known explains the end, 2 bad input, 130 interrupted"""
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="the message or traceback (default: standard input)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="use the versions of another environment: its folder or its interpreter",
    )
    where.add_argument(
        "--versions",
        metavar="P=V,...",
        help="use these versions, as in accelerate=1.8.0,torch=2.5.1",
    )
    parser.add_argument(
        "--all", action="store_true", help="show every answer in full, not the first three in short"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the known bugs and limits with their messages"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--lang", metavar="LANG", help=language.HELP)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with language.use(language.chosen(options.lang, for_programs=options.json)):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from metalassay.diagnosis import explain, explain_text, log_excerpt
    from metalassay.environment import interpreters, versions

    width = min(shutil.get_terminal_size().columns, 100)
    if options.list:
        known = explain.known()
        print(
            json.dumps(known, indent=1)
            if options.json
            else explain_text.known_as_text(known, width)
        )
        return 0
    # The options are checked before a pipe is read, which may take as long as the program runs.
    given = explain.parse_versions(options.versions) if options.versions is not None else None
    python = None if options.env is None else interpreters.find(options.env)
    text = "" if options.text == ["-"] else " ".join(options.text)
    left_out = 0
    if _names_a_file(options.text):
        raise UserError(
            f"{text} names a file or folder, and is no message",
            f"metalassay explain < {shlex.quote(text)}",
        )
    if not text and (sys.stdin is None or sys.stdin.isatty()):
        raise UserError(
            "there is no text to explain",
            'metalassay explain "MESSAGE", or: python train.py 2>&1 | metalassay explain',
        )
    if not text:
        excerpt = log_excerpt.read(sys.stdin.buffer)
        text, left_out = excerpt.text, excerpt.left_out
    if not text.strip():
        raise UserError(
            "the text is empty",
            "errors go to stderr; pipe both: python train.py 2>&1 | metalassay explain",
        )
    if given is None:
        installed = interpreters.versions_of(python) if python else versions.installed()
    else:
        installed = given
    answer = explain.explain(text, installed, given=given is not None or python is not None)
    if options.json:
        print(json.dumps({**answer.as_json(), "bytes_left_out": left_out}, indent=1))
    else:
        print(explain_text.as_text(answer, width, None if options.all else 3))
    return 0 if answer.explained else 1


def _names_a_file(words: Sequence[str]) -> bool:
    """Return whether the only word is a file or folder, there or not, and no message."""
    if len(words) != 1 or not words[0] or any(each.isspace() for each in words[0]):
        return False
    path = Path(words[0])
    try:
        return path.exists() or (
            path.suffix in (".log", ".txt", ".out", ".err") and os.sep in words[0]
        )
    except (OSError, ValueError):
        return False
