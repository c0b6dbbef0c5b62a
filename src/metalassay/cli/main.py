"""The command line: parse, call, print. Heavy imports stand inside the commands."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from metalassay import __version__
from metalassay.cli import (
    claims,
    compare,
    dataloader,
    doctor,
    max_batch,
    ops,
    preflight,
    report,
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
            "  metalassay doctor                    what is wrong here, and what cures it\n"
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

    resolve = commands.add_parser(
        "resolve",
        help="which rows of matrix.toml can be installed, on Linux and on macOS",
        description=(
            "Ask uv's resolver which rows of matrix.toml can be installed on Linux x86_64 and on"
            " macOS 14 arm64, from whatever machine this is. Downloads no package."
        ),
        epilog="exit code: 0 all rows resolve, 1 some do not (said in a sentence), 2 bad input",
    )
    resolve.add_argument("rows", nargs="*", metavar="ROW", help="ids of rows (default: all)")
    resolve.add_argument("--json", action="store_true", help="print what was resolved as JSON")
    resolve.set_defaults(command=_resolve)

    bisect = commands.add_parser(
        "bisect",
        help="find the releases between which a bug appears or goes, by running",
        description=(
            "Find the releases between which a known bug appears or goes, by running its tests with"
            " one release after the other, and hold the result against the data. Everything else"
            " stays as it is installed beside this interpreter. Run it in a checkout."
        ),
        epilog=(
            "examples:\n"
            "  nox -s bisect -- accelerate-empty-shard\n"
            "  metalassay bisect accelerate-n-shard-typo --from 1.6.0 --to 1.9.0\n"
            "\n"
            "exit code: 0 the data agrees, 1 it does not, 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bisect.add_argument("bug", metavar="BUG", help="its id, as in: metalassay explain --list")
    bisect.add_argument("--package", help="the package to vary (default: the first the bug names)")
    bisect.add_argument("--from", dest="first", metavar="VERSION", help="the oldest release to run")
    bisect.add_argument("--to", dest="last", metavar="VERSION", help="the newest release to run")
    bisect.add_argument("--json", action="store_true", help="print the finding as JSON")
    bisect.set_defaults(command=_bisect)

    explain = commands.add_parser(
        "explain",
        help="name the known bug behind an error message, a traceback or a log",
        description="Name the known bug behind an error message, with its cause and its cures.",
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
    explain.add_argument(
        "text", nargs="*", metavar="TEXT", help="the message or traceback (default: standard input)"
    )
    where = explain.add_mutually_exclusive_group()
    where.add_argument("--python", metavar="EXE", help="the environment that the text comes from")
    where.add_argument(
        "--versions", metavar="P=V,...", help="the versions that the text comes from"
    )
    explain.add_argument("--all", action="store_true", help="show every bug that fits, not three")
    explain.add_argument(
        "--list", action="store_true", help="list the known bugs, and what they say"
    )
    explain.add_argument("--json", action="store_true", help="print the answer as JSON")
    explain.set_defaults(command=_explain)

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


def _resolve(options: argparse.Namespace) -> int:
    from metalassay.environment import matrix, resolver

    rows = matrix.load(Path())
    wanted = [matrix.get(Path(), row_id) for row_id in options.rows] or list(rows.values())
    found = []
    for row in wanted:
        for platform in resolver.PLATFORMS:
            found.append(resolver.resolve(row, platform))
            print(f"{row['id']}: {platform}: {found[-1].why or 'ok'}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    failed = sum(bool(each.why) for each in found)
    print(f"{len(found) - failed} of {len(found)} resolve", file=sys.stderr)
    return 1 if failed else 0


def _bisect(options: argparse.Namespace) -> int:
    from metalassay.diagnosis import bisect as bisecting

    def progress(release: str, state: str) -> None:
        print(f"{release}: {state}", file=sys.stderr, flush=True)

    finding = bisecting.bisect(
        Path(), options.bug, options.package, options.first, options.last, progress
    )
    if options.json:
        print(json.dumps(asdict(finding), indent=1))
    else:
        print(bisecting.as_text(finding))
    return 1 if finding.contradictions else 0


def _explain(options: argparse.Namespace) -> int:
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
