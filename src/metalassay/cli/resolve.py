"""The command `metalassay resolve`: check which rows of matrix.toml can be installed."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Ask uv's resolver which rows of matrix.toml can be installed from wheels alone, on Linux x86_64"
        " and on macOS 14 arm64 with each Python of the row, from whatever machine this is. Downloads no"
        " package."
    )
    parser.epilog = """\
examples:
  metalassay resolve                     every row, on both systems
  metalassay resolve accelerate-1.8.0    one row
  metalassay resolve --json > rows.json

exit code: 0 all rows resolve, 1 some do not (with the reason), 2 bad input"""
    parser.add_argument("rows", nargs="*", metavar="ROW", help="ids of rows (default: every row)")
    parser.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the chosen versions as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.matrix import matrix_file, resolver

    rows = matrix_file.load(Path()).rows
    wanted = [matrix_file.get(Path(), row_id) for row_id in options.rows] or [
        row for row in rows.values() if row.runs == matrix_file.COMPAT
    ]
    resolutions = []
    for row in wanted:
        for platform, python in itertools.product(resolver.PLATFORMS, row.pythons):
            resolutions.append(resolver.resolve(row, platform, python))
            if not options.quiet:
                line = f"{row.id}: {platform}, Python {python}: {resolutions[-1].why or 'ok'}"
                print(line, file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(resolution) for resolution in resolutions], indent=1))
    failed = sum(bool(resolution.why) for resolution in resolutions)
    print(f"{len(resolutions) - failed} of {len(resolutions)} resolve", file=sys.stderr)
    return 1 if failed else 0
