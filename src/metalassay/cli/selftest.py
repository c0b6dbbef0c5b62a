"""The command `metalassay selftest`: check the clocks, and measure the peak of the device."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from metalassay import minder
from metalassay.cli import option_types
from metalassay.environment import extras
from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Check that the timing here can be trusted: time work of a known length, a device that"
        " answers too early, and results that no chip can reach. Then measure the peak of the device"
        " with a matrix product and a triad. Takes a few seconds."
    )
    parser.epilog = """\
examples:
  metalassay selftest
  metalassay selftest --device mps --json

exit code: 0 all checks pass, 1 one fails, 2 bad input"""
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="the device to measure; auto is the first that works of mps, cuda and cpu",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    extras.require("selftest", "bench", "torch")
    command = [sys.executable, "-P", "-m", "metalassay.measure.selftest", options.device]
    child = minder.start(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        with minder.forgetting(child.pid):
            output, _ = child.communicate()
    finally:
        child.kill()
    if child.returncode == 2:
        return 2  # it has said what is wrong
    if child.returncode:
        raise UserError("the self-test failed to run; its error is above", "metalassay doctor")
    result = json.loads(output.splitlines()[-1])
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        for check in result["checks"]:
            print(f"{'ok  ' if check['passed'] else 'FAIL'} {check['name']}: {check['saw']}")
        peak = result["roof"]
        print(
            f"measured peak of {peak['device']}, {peak['threads']} thread(s), float32:"
            f" {peak['gflop_s']:,.0f} GFLOP/s, {peak['gb_s']:.1f} GB/s ({peak['seconds']:.1f} s)"
        )
    return 0 if all(check["passed"] for check in result["checks"]) else 1
