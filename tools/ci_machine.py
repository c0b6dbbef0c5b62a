"""Refuse to measure on a virtual machine; with --allow-virtual, mark the run instead."""

from __future__ import annotations

import argparse
import sys

import ci_outputs

from metalassay.machine import hardware


def main(arguments: list[str] | None = None) -> int:
    """Return 1 on a machine that is virtual, or that does not say what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--allow-virtual", action="store_true", help="measure, and mark the run")
    options = parser.parse_args(arguments)
    machine = hardware.probe(gpu_too=False)
    described = hardware.describe(machine)
    if machine.virtual is False:
        print(described)
        return 0
    what = "a virtual machine" if machine.virtual else "perhaps a virtual machine: it does not say"
    if not options.allow_virtual:
        ci_outputs.notice("error", f"{described}: {what}; nothing is measured")
        return 1
    ci_outputs.notice("warning", f"{described}: {what}; these times are not those of a Mac")
    ci_outputs.summary(f"**Measured on {what}.** These times are not those of a Mac.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
