"""The command `metalassay bisect`: the releases between which a bug appears or goes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
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
    parser.add_argument("bug", metavar="BUG", help="its id, as in: metalassay explain --list")
    parser.add_argument("--package", help="the package to vary (default: the first the bug names)")
    parser.add_argument("--from", dest="first", metavar="VERSION", help="the oldest release to run")
    parser.add_argument("--to", dest="last", metavar="VERSION", help="the newest release to run")
    parser.add_argument("--json", action="store_true", help="print the finding as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
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
