"""The command `metalassay link`: check installed packages against each other without importing them."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.cli.parser import columns
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.linkcheck import Break, Report

EPILOG = """\
examples:
  metalassay link                            the packages of this environment
  metalassay link --env .venv                another one: its folder or its interpreter
  metalassay link --package trl -v           what TRL needs, guarded and unreached lines too
  metalassay link --json | jq '.breaks[] | select(.stops)'

It reads the sources of accelerate, transformers, trl, peft and datasets, and looks up in the history
of their releases what each uses of the others. With a type checker (pip install 'metalassay[link]')
it finds a little more. Nothing is imported, and nothing is fetched. It cannot see everything:
docs/linkcheck.md.

exit code: 0 nothing found, 1 something that stops an import or training, or that metadata forbids,
2 bad input"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Find what the packages of the training stack import or call of each other and, as installed,"
        " do not have: with file and line, the missing name, since which release, and what to install."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="check another environment: its folder, its interpreter, or a folder of packages",
    )
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="check this caller only; repeatable",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show what is guarded or not reached as well"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--no-checker", action="store_true", help="read the sources only, although ty is installed"
    )
    parser.add_argument("--no-cache", action="store_true", help="check again, and keep no result")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.linkcheck import check
    from metalassay.linkcheck.source import STACK

    for name in options.package:
        if name.replace("-", "_") not in STACK:
            raise UserError(
                f"--package {name}: not one of the packages that are checked",
                f"choose from {', '.join(STACK)}",
            )
    report = check(
        sys.executable if options.env is None else options.env,
        packages=options.package,
        use_checker=not options.no_checker,
        keep=not options.no_cache,
    )
    if options.json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        print("\n".join(lines(report, options.verbose)))
    return 1 if any(_matters(each) for each in report.breaks) else 0


def _matters(each: Break) -> bool:
    """Return whether a break counts as found: it stops something, or metadata of a plain install forbids it."""
    return each.stops or (each.kind == "metadata" and not each.note)


def lines(report: Report, verbose: bool) -> Iterable[str]:
    """Yield the text of a report, line by line."""
    from metalassay.linkcheck import instead, words

    shown = [each for each in report.breaks if verbose or _matters(each)]
    checked = ", ".join(
        f"{name} {version}" for name, version in sorted(_stack(report.versions).items())
    )
    yield from _wrap(f"checked: {checked or 'no package of the stack is installed'}", "")
    if not any(_matters(each) for each in report.breaks):
        yield words.NOTHING
    advised: dict[str, None] = {}
    for each in shown:
        yield ""
        yield f"{each.caller} {each.caller_version}: {words.consequence(each)}"
        yield from _wrap(words.sentence(each), "  ")
        yield f"  at {each.where}"
        if text := words.history(each):
            yield from _wrap(text, "  ")
        if each.stops:
            found = [change.requirement for change in instead.changes(each, report.versions)]
            advised |= dict.fromkeys(found)
    if advised:
        yield ""
        yield "one of these leaves nothing that is known to stop:"
        yield from (f"  pip install '{each}'" for each in advised)
    elif any(each.stops for each in shown):
        yield ""
        yield "no other release of a single package helps; next: metalassay doctor"
    hidden = len(report.breaks) - len(shown)
    if hidden:
        yield ""
        yield f"{hidden} more that are guarded, or that ordinary training does not reach: -v"
    if report.notes:
        yield ""
        for note in report.notes:
            yield from _wrap(f"note: {note}", "")


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        columns(),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _stack(versions: Mapping[str, str]) -> Mapping[str, str]:
    from metalassay.linkcheck.source import STACK

    return {name: version for name, version in versions.items() if name.replace("-", "_") in STACK}
