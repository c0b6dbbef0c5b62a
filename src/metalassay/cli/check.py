"""The command `metalassay check`: test an environment against what is known of its versions."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay import pep440
from metalassay.cli import option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalassay.diagnosis.check import Progress

FOLDER = Path("reports", "compat")
OLDEST = "3.11"

EPILOG = """\
examples:
  metalassay check                              the quick tests, in this environment
  metalassay check --env .venv                  another one; nothing is installed there
  metalassay check --bug accelerate-empty-shard --slow
  metalassay check --json | jq .red

Every known bug whose packages are installed is tested: where our data says that these versions have it, its
test must fail with exactly the known message, and elsewhere it must pass. Tests that need MPS run on a Mac, all
but those that take minutes or gigabytes (--slow).
The verdicts are kept for `metalassay report` and `metalassay submit`.

exit code: 0 green: our data tells the truth here; 1 red: it does not; 2 bad input, or nothing was tested;
130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Run the tests of all known bugs in an environment as it is: green exactly when our data tells"
        " the truth about what is installed. Changes nothing, and needs no network."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--bug",
        action="append",
        default=[],
        metavar="ID",
        help="test this known bug only; repeatable",
    )
    parser.add_argument(
        "--slow",
        action="store_true",
        help="also run the tests that train or start processes (minutes instead of seconds)",
    )
    parser.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="test another environment: its folder or its interpreter",
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--quiet", action="store_true", help="print the answer, without progress")
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        metavar="FILE",
        help=f"the verdict file (default: {FOLDER / 'as-installed.json'}, with --bug as-installed.partial)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from packaging.version import Version

    from metalassay import interrupts
    from metalassay.bugs import verdict
    from metalassay.diagnosis import check, check_text
    from metalassay.environment import extras, interpreters

    extras.require("check", "compat", "pytest")
    python = None if options.env is None else interpreters.find(options.env)
    if python is not None:
        found, interpreter = interpreters.ask(python)  # or a UserError, before anything runs
        if (pep440.version_of(found["python"]) or Version("0")) < Version(OLDEST):
            raise UserError(
                f"{options.env}: it has Python {found['python']}; the tests need {OLDEST} or newer",
                f"metalassay doctor --env {shlex.quote(options.env)}",
            )
        python = interpreter.python
    target = FOLDER / _name(options.env) if options.output is None else options.output
    if not target.name or (target.exists() and not target.is_file()):
        raise UserError(
            f"--output {target}: no file to write to", "name a file, as in: -o check.json"
        )
    wanted = check.Wanted(tuple(options.bug), slow=options.slow)
    # SIGTERM ends the tests and removes what they made, as Ctrl+C does.
    with interrupts.Interrupts() as signals, signals.at_once():
        checked = check.run(
            python,
            wanted,
            target,
            _progress(quiet=options.quiet),
            exactly=options.output is not None,
        )
    file, known = checked.file, checked.known
    if options.json:
        document = {
            "schema": "metalassay.check/1",
            "file": str(file),
            **check_text.record(known),
            "verdicts": json.loads(checked.text),
        }
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        width = min(shutil.get_terminal_size().columns, 100)
        print(check_text.as_text(known, width, slow=options.slow))
        settled = check_text.record(known)["settled"]
        command = "submit" if settled else "report"
        if checked.unwritten is None:
            print(f"\nverdicts: {file}\n  next: metalassay {command} {shlex.quote(str(file))}")
    if checked.unwritten is not None:
        raise checked.unwritten
    if known.red:
        return 1
    tested = any(bug.verdict != verdict.NOT_TESTED for bug in known.bugs)
    return 0 if tested else 2


def _name(place: str | None) -> str:
    """Return the name of the verdict file, which tells environments apart."""
    if place is None:
        return "as-installed.json"
    folder = Path(place).absolute()
    parts = [part for part in folder.parts[-3:] if part not in ("bin", "python", "python3")]
    name = "".join(
        each if each.isalnum() or each in "._-" else "-" for each in (parts or ["env"])[-1]
    )
    return f"as-installed-{name.strip('.') or 'env'}.json"


def _progress(*, quiet: bool) -> Callable[[Progress], None]:
    """Return what shows a line of progress: in place in a terminal, every ten seconds elsewhere."""
    began, live = time.monotonic(), sys.stderr.isatty()
    shown = [began]

    def show(step: Progress) -> None:
        now = time.monotonic()
        if quiet or (not live and now - shown[0] < 10):
            return
        shown[0] = now
        of = f" of {step.total}" if step.total else ""
        line = f"{step.over}{of} tests, {now - began:.0f} s"
        if step.over and step.total:
            left = (now - began) / step.over * (step.total - step.over)
            line += f", about {left:.0f} s left"
        if step.test:
            line += f": {step.test}"
        width = min(shutil.get_terminal_size().columns, 100) - 1
        print(line[:width], end="\x1b[K\r" if live else "\n", file=sys.stderr, flush=True)

    return show
