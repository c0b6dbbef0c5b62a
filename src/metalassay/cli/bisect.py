"""The command `metalassay bisect`: find the releases between which a bug appears or goes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Find the releases between which a known bug appears or goes, by running its tests with one"
        " release after the other, and compare the result with our data. Every other package stays"
        " as it is installed with this Python. Run it in a checkout."
    )
    parser.epilog = """\
examples:
  nox -s bisect -- accelerate-empty-shard
  metalassay bisect accelerate-n-shard-typo --from 1.6.0 --to 1.9.0

exit code: 0 the data agrees, 1 it does not, 2 bad input"""
    parser.add_argument(
        "bug", metavar="BUG", help="the id of a bug, see: metalassay explain --list"
    )
    parser.add_argument(
        "--package", help="the package whose releases to try (default: the first the bug names)"
    )
    parser.add_argument("--from", dest="first", metavar="VERSION", help="the oldest release to run")
    parser.add_argument("--to", dest="last", metavar="VERSION", help="the newest release to run")
    parser.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.diagnosis import bisect as bisecting

    def progress(release: str, state: str) -> None:
        if not options.quiet:
            print(f"{release}: {state}", file=sys.stderr, flush=True)

    finding = bisecting.bisect(
        Path(), options.bug, options.package, options.first, options.last, progress
    )
    if set(finding.states.values()) <= {bisecting.UNKNOWN}:
        raise UserError(
            f"no release of {finding.package} could be tested here, so nothing is known",
            f"nox -s bisect -- {options.bug} (it installs what the tests need)",
        )
    if options.json:
        print(json.dumps(asdict(finding), indent=1))
    else:
        print(bisecting.as_text(finding))
    return 1 if finding.contradictions else 0
