"""Measure what some claims of the guides are about; each such row of claims/data/ names its experiment.

    python tools/claim_experiments.py layer-norm
    python tools/claim_experiments.py workers --rounds 20

In each round all arms are built again: the base, the base once more as A/A control, and the others. They
take turns in an ABBA block, that is, in random order and then in reverse. Each round is a replicate of
the rule by which `metalassay compare` decides: the answer is "more" or "less", "same" or "inconclusive",
and inconclusive if the control differs. Compare starts a process per arm and replicate, this tool does
not: what all arms of one process share is not randomised. The figures are saved under evidence/, where
`metalassay claims ID` reads them. They apply to this machine only.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from metalassay.claims import evidence
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.experiments import arms as claim_arms
from metalassay.experiments.arms import BATCH, EXPERIMENTS, Builders
from metalassay.files import write_atomically
from metalassay.machine import hardware
from metalassay.measure import device as devices
from metalassay.statistics import decision

CONTROL = "the base again"


def measure(
    builders: Builders, rounds: int, progress: Callable[[int], None] = lambda _: None
) -> list[evidence.Figures]:
    """Run all arms in turns; return the figures of each arm with those of the base and its control."""
    base, *others = builders
    builders = {**builders, CONTROL: builders[base]}
    seen: dict[str, list[claim_arms.Figures]] = {name: [] for name in builders}
    order = list(builders)
    shuffle = random.Random(0).shuffle  # noqa: S311 - an order, not a secret
    for number in range(rounds):
        shuffle(order)
        arms = {name: builders[name]() for name in order}
        turns: dict[str, list[claim_arms.Figures]] = {name: [] for name in order}
        for name in (*order, *reversed(order)):
            turns[name].append(arms[name]())
        for name, (first, second) in turns.items():
            seen[name].append(
                {what: statistics.geometric_mean((first[what], second[what])) for what in first}
            )
        progress(number + 1)
    return [
        evidence.Figures(
            base, arm, what, *([f[what] for f in seen[n]] for n in (base, CONTROL, arm))
        )
        for what in seen[base][0]
        for arm in others
    ]


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description="Measure what a claim of the guides is about, on this machine.",
        epilog="experiments: "
        + "; ".join(f"{name}: {experiment.__doc__}" for name, experiment in EXPERIMENTS.items()),
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "mps", "cuda"))
    parser.add_argument(
        "--rounds",
        type=int,
        default=16,
        help=f"at least {decision.FEWEST} (default: 16)",
    )
    options = parser.parse_args()
    try:
        device = devices.resolve(options.device)
        if devices.emulated(device):
            raise UserError("this MPS is emulated", "time it on a Mac, or with --device cpu")
        if options.rounds < decision.FEWEST:
            raise UserError(f"{options.rounds} rounds are too few for an interval", "--rounds 16")
        builders = EXPERIMENTS[options.experiment](device)
    except UserError as error:
        print(f"{error.message}\n  next: {error.next_step}", file=sys.stderr)
        return 2

    def progress(number: int) -> None:
        print(f"round {number} of {options.rounds}", end="\r", file=sys.stderr, flush=True)

    figures = measure(builders, options.rounds, progress)
    print(" " * 40, end="\r", file=sys.stderr)
    machine = hardware.describe(hardware.probe())
    for comparison in figures:
        print(comparison.judge(family=len(figures)).sentence())
    path = evidence.FOLDER / f"{options.experiment}-{device.type}-{int(time.time())}.json"
    on = devices.name(device) if device.type != "cpu" else "cpu"
    save(path, options.experiment, machine, on, figures)
    print(f"{machine}, on {on}: {path}")
    return 0


def save(
    path: Path, experiment: str, machine: str, device: str, figures: list[evidence.Figures]
) -> None:
    """Write a run as ``evidence.load`` reads it."""
    record = {
        "schema": evidence.SCHEMA,
        "experiment": experiment,
        "machine": machine,
        "device": device,
        "versions": versions.installed(("torch", "metalassay")),
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "comparisons": [asdict(comparison) for comparison in figures],
    }
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
