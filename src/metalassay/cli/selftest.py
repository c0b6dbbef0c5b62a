"""The command ``selftest``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "selftest",
        help="whether the clocks here can be believed, and what this device reaches",
        description=(
            "Time work of a known length, a device that answers too early and results that no chip"
            " can have; then measure the roof: a matrix product and a triad, in under two seconds."
        ),
        epilog="exit code: 0 all checks pass, 1 one does not, 2 bad input",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "mps", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.set_defaults(command=_selftest)


def _selftest(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "metalassay.measure.selftest", options.device]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UserError("the self-test did not end; its error is above", "metalassay doctor")
    found = json.loads(done.stdout.splitlines()[-1])
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for check in found["checks"]:
            print(f"{'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['saw']}")
        roof = found["roof"]
        print(
            f"roof of {roof['device']}, {roof['threads']} thread(s), float32:"
            f" {roof['gflop_s']:,.0f} GFLOP/s, {roof['gb_s']:.1f} GB/s ({roof['seconds']:.1f} s)"
        )
    return 0 if all(check["passed"] for check in found["checks"]) else 1
