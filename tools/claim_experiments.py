"""Measures what some claims of the guides are about; each such row of claims/ names its experiment.

    python tools/claim_experiments.py layer-norm
    python tools/claim_experiments.py workers --rounds 20

Two or more arms take turns in shuffled order, once a round. The first arm is the base: the others are
given as ratios to it within a round, so that a slow minute slows both. "more" and "less" are said
when all rounds but one agree, of 11 or more, and by 2 % at least. What was measured is saved under
evidence/, where `metalassay claims ID` finds it. It says something about this machine, and no other.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict

import torch
from claim_arms import BATCH, EXPERIMENTS, Figures

from metalassay.claims.evidence import FOLDER, Comparison, compare
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.machine import hardware
from metalassay.measure import device as devices


def measure(experiment: str, device: torch.device, rounds: int) -> list[Comparison]:
    """Run the arms in turns, and compare each with the first."""
    arms = EXPERIMENTS[experiment](device)
    seen: dict[str, list[Figures]] = {name: [] for name in arms}
    order = list(arms)
    shuffle = random.Random(0).shuffle  # noqa: S311 - an order, not a secret
    for number in range(rounds):
        shuffle(order)
        for name in order:
            seen[name].append(arms[name]())
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    print(" " * 40, end="\r", file=sys.stderr)
    base, *others = arms
    return [
        compare(base, other, what, *([each[what] for each in seen[arm]] for arm in (base, other)))
        for what in seen[base][0]
        for other in others
    ]


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description="Measure what a claim of the guides is about, on this machine.",
        epilog="experiments: "
        + "; ".join(f"{name}: {each.__doc__}" for name, each in EXPERIMENTS.items()),
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "mps", "cuda"))
    parser.add_argument("--rounds", type=int, default=12, help="at least 3 (default: 12)")
    given = parser.parse_args()
    try:
        device = devices.resolve(given.device)
        if devices.emulated(device):
            raise UserError("this MPS is emulated", "time it on a Mac, or with --device cpu")
        if given.rounds < 3:
            raise UserError(f"{given.rounds} rounds show no spread", "--rounds 12")
        found = measure(given.experiment, device, given.rounds)
    except UserError as error:
        print(f"{error.message}\n  next: {error.next_step}", file=sys.stderr)
        return 2
    machine = hardware.describe(hardware.probe())
    for each in found:
        print(each.sentence())
    path = FOLDER / f"{given.experiment}-{device.type}-{int(time.time())}.json"
    path.parent.mkdir(exist_ok=True)
    record = {
        "schema": 1,
        "experiment": given.experiment,
        "machine": machine,
        "device": devices.name(device) if device.type != "cpu" else "cpu",
        "versions": versions.installed(("torch", "metalassay")),
        "threads": torch.get_num_threads(),
        "batch": BATCH,
        "comparisons": [asdict(each) for each in found],
    }
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    print(f"{machine}, on {record['device']}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
