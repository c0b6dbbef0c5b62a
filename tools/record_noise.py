"""Record the noise of real comparisons for replay: the same code three times, and 3 % more work once.

    python tools/record_noise.py cnn.json transit-cnn:train --replicates 40
    python tools/record_noise.py gpt.json gpt-tiny:train --replicates 20 --wait 60

First the number of extra matrix products that take 3 % of a step is measured, in CPU time and as a
median of many turns. Times are stored in whole microseconds per step; an interrupted run keeps its file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import compare_replay

from metalassay.compare import sampling
from metalassay.environment import versions
from metalassay.files import write_atomically
from metalassay.machine import hardware
from metalassay.statistics import decision
from metalassay.workers import specs
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm

SHARE = 0.03
TRIAL = 300  # products in the first measurement


def share(processes: Processes, spec: specs.Spec, products: int, turns: int) -> float:
    """Return the share of a step's CPU time that ``products`` add, as a median of ``turns``."""
    plain = processes.start(Arm("A", spec, sys.executable))
    loaded = processes.start(Arm("B", dataclasses.replace(spec, extra=products), sys.executable))
    processes.pin_to_one_core()
    steps = max(1, round(sampling.SAMPLE_SECONDS["cpu"] / plain.facts["step"]))
    ratios = []
    for _ in range(turns):
        before, more, after = (
            plain.sample(steps)[1],
            loaded.sample(steps)[1],
            plain.sample(steps)[1],
        )
        ratios.append(more / ((before + after) / 2) - 1)
    plain.close()
    loaded.close()
    return statistics.median(ratios)


def calibrate(processes: Processes, spec: specs.Spec) -> int:
    """Return how many products take 3 % of a step's CPU time.

    Many are timed first, and the resulting number is corrected twice, since the first products of a
    step cost more than the others. Each pair of processes has its own heap layout, so several pairs count.
    """
    products = max(1, round(SHARE * TRIAL / share(processes, spec, TRIAL, 100)))
    for _ in range(2):
        measured = statistics.median(share(processes, spec, products, 150) for _ in range(7))
        products = max(1, round(products * SHARE / max(measured, SHARE / 10)))
    return products


def main() -> None:
    """Record and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("spec", help="as in: metalassay compare SPEC SPEC")
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--extra", type=int, help="products to add (default: measured, to take 3 %%)"
    )
    parser.add_argument("--wait", type=float, default=0, help="seconds between replicates")
    options = parser.parse_args()
    spec = specs.parse(options.spec)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Processes() as processes:
        extra = options.extra or calibrate(processes, spec)
        print(f"{extra} products are {SHARE:.0%} of a step", file=sys.stderr)
        first = Arm("A", spec, sys.executable)
        more = Arm("B", dataclasses.replace(spec, extra=extra), sys.executable)
        plan = sampling.Plan(clock="cpu", rounds=options.rounds, seed=int(time.time()))
        state = sampling.State()
        arms = {"A": first, "a": first, "b": first, "B": more}
        try:
            for number in range(options.replicates):
                state.replicates.append(
                    sampling.run_replicate(
                        arms, processes.start, plan, state, processes.pin_to_one_core
                    )
                )
                text = json.dumps(document(state, spec, extra, started), indent=0)
                write_atomically(options.file, text + "\n")
                print(
                    f"\r{number + 1} of {options.replicates}", end="", file=sys.stderr, flush=True
                )
                time.sleep(options.wait)
        except KeyboardInterrupt:
            print("\ninterrupted: the replicates so far are saved", file=sys.stderr)
    for clock in ("cpu", "wall") if len(state.replicates) > 1 else ():
        for name in ("b", "B"):
            roles = {"A": decision.FIRST, "a": decision.CONTROL, name: decision.SECOND}
            replicates = [compare_replay.of_arms(each.rounds, roles) for each in state.replicates]
            values = [decision.replicate_effects(each, clock)[0] for each in replicates]
            sd = statistics.stdev(values)
            print(
                f"{clock}: {name} over A {decision.percent(statistics.fmean(values))}, standard deviation {sd:.2%}"
            )


def document(state: sampling.State, spec: specs.Spec, extra: int, started: str) -> dict[str, Any]:
    """Return the recording: a line per replicate, with rounds of timings as arm, wall and CPU time."""

    def line(replicate: sampling.Replicate) -> str:
        return ";".join(
            " ".join(f"{s.arm}{s.wall * 1e6:.0f},{s.cpu * 1e6:.0f}" for s in timings)
            for timings in replicate.rounds
        )

    return {
        "schema": "metalassay.noise/1",
        "what": f"{spec.text()}; arms A, a and b (the same) and B (with extra={extra}); microseconds "
        "per step of wall time and CPU time; a line is four processes side by side",
        "recorded": started,
        "machine": hardware.describe(hardware.probe(gpu_too=False)),
        "versions": versions.installed(("torch", "metalassay")),
        "steps": state.steps,
        "groups": [line(replicate) for replicate in state.replicates],
    }


if __name__ == "__main__":
    main()
