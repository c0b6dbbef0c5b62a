"""The command `metalassay resolve`: which rows of matrix.toml can be installed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "resolve",
        help="which rows of matrix.toml can be installed, on Linux and on macOS",
        description=(
            "Ask uv's resolver which rows of matrix.toml can be installed on Linux x86_64 and on"
            " macOS 14 arm64, from whatever machine this is. Downloads no package."
        ),
        epilog="exit code: 0 all rows resolve, 1 some do not (said in a sentence), 2 bad input",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="ids of rows (default: all)")
    parser.add_argument("--json", action="store_true", help="print what was resolved as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import matrix, resolver

    rows = matrix.load(Path()).rows
    wanted = [matrix.get(Path(), row_id) for row_id in options.rows] or list(rows.values())
    found = []
    for row in wanted:
        for platform in resolver.PLATFORMS:
            found.append(resolver.resolve(row, platform))
            print(f"{row.id}: {platform}: {found[-1].why or 'ok'}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    failed = sum(bool(each.why) for each in found)
    print(f"{len(found) - failed} of {len(found)} resolve", file=sys.stderr)
    return 1 if failed else 0
