"""The command `metalassay results`: check result files that somebody contributes."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from metalassay.cli import option_types

if TYPE_CHECKING:
    from metalassay.bench.acceptance import Problem


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the subcommand."""
    parser.description = "Check the result files of others, as CI does with a contribution."
    parser.usage = "metalassay results ACTION [options]"
    parser.epilog = """\
actions:
  check      see whether files can stand in docs/results

examples:
  metalassay results check metalassay-*.json"""
    actions = parser.add_subparsers(
        required=True, prog="metalassay results", metavar="action", help=argparse.SUPPRESS
    )
    _configure_check(actions.add_parser("check", help="see whether files can be accepted"))


def _configure_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check files of `metalassay bench`, or of the benchmark suite after `metalassay submit`. Prints one"
        " line per problem with the file and the field."
    )
    parser.epilog = """\
examples:
  metalassay results check metalassay-apple-m4-10gpu-16gb-2026-11-28.json
  metalassay results check docs/results/*.json
  metalassay results check --json FILE

errors:
  a field that is missing, of the wrong type, or contradicts another
  a rate or a peak that the chip cannot reach; other numbers than the CPU's
  throttled by heat; on battery; a low or changed power mode
  swapping or memory pressure; a busy machine; time given to other guests
  low priority, or kept in the background
  a self-test that failed or was skipped; no measured peak of the device
  a rehearsal on an emulated mps; a Python under Rosetta
  an unknown chip, number of cores or memory; a missing version
  a date in the future, or before 2025; a version that is none
  a chip that contradicts the system, the processor or the number of threads
  statistics, marks or a peak that contradict what they are computed from
  a benchmark twice, or one that is not ours or contradicts its name
  fewer than 5 rounds, or less than 1 second of them
  rounds whose middle half spreads over more than half of their median
  what `metalassay submit` would remove: names, paths, serial numbers, addresses
  a field that metalassay does not write

warnings:
  moderate heat; a drift within the run; not steady after the warm-up
  a virtual machine; a chip whose limit is not known
  a peak or watts far from what others published

exit code: 0 all are accepted, warnings or not; 1 a file has a problem; 2 not a result file"""
    parser.add_argument(
        "files", nargs="+", type=option_types.path, metavar="FILE", help="result files"
    )
    parser.add_argument("--json", action="store_true", help="print every file as JSON")
    parser.set_defaults(act=_check)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    code: int = options.act(options)
    return code


def _check(options: argparse.Namespace) -> int:
    from metalassay.bench import acceptance
    from metalassay.fields import FieldError
    from metalassay.results import find_files
    from metalassay.results.source import shown

    found: list[tuple[str, list[Problem], str]] = []
    for path in find_files.named(options.files):
        name = shown(path)
        try:
            if path.is_dir():
                raise acceptance.NoResultError("is a folder; name its files")
            (source,) = find_files.find([path])
            found.append((name, acceptance.check(source.read()), ""))
        except (FieldError, acceptance.NoResultError) as error:
            found.append((name, [], str(error)))
    if options.json:
        print(json.dumps([_as_dict(*one) for one in found], indent=1))
    else:
        _print(found)
    if any(why for _, _, why in found):
        return 2
    return 1 if any(not one.warning for _, problems, _ in found for one in problems) else 0


def _print(found: list[tuple[str, list[Problem], str]]) -> None:
    for name, problems, why in found:
        if why:
            print(f"metalassay: {name}: {why}", file=sys.stderr)
            print("  next: name a file of `metalassay bench`", file=sys.stderr)
            continue
        for one in problems:
            print(f"{name}: {'warning: ' if one.warning else ''}{one}")
        errors = sum(not one.warning for one in problems)
        if not errors:
            print(f"{name}: accepted")


def _as_dict(name: str, problems: list[Problem], why: str) -> dict[str, object]:
    return {
        "file": name,
        "accepted": not why and all(one.warning for one in problems),
        "not_a_result": why or None,
        "problems": [{"field": p.where, "problem": p.what} for p in problems if not p.warning],
        "warnings": [{"field": p.where, "problem": p.what} for p in problems if p.warning],
    }
