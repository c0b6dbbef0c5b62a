"""Whether forks of a server say what started processes say, and how much a server shifts all its forks.

    python tools/fork_variance.py bert.json bench.py::eager bench.py::sdpa --servers 12
    python tools/fork_variance.py cnn.json transit-cnn:train transit-cnn:train:extra=37 --servers 12

Forks of one server share addresses and the hash seed. A/A cannot show what that does, for it does the same
to both. So A and B do different things here: some replicates are forks of one server, then one replicate
is of started processes, then comes the next server. Printed are the mean effect by either way and their
difference, and the standard deviation between servers beyond that between the replicates of one server
(analysis of variance, with the upper end of its one-sided 95 % interval). An interrupted run is continued.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from metalassay.compare import sampling
from metalassay.environment import versions
from metalassay.files import write_atomically
from metalassay.machine import hardware
from metalassay.statistics import decision, student_t
from metalassay.workers import specs
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm

FORKED, STARTED = "forked", "started"


def main() -> None:
    """Measure, save after each server, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--servers", type=int, default=12)
    parser.add_argument("--replicates", type=int, default=4, help="forks of one server")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    first, second = (
        Arm(each, specs.parse(each), sys.executable) for each in (options.a, options.b)
    )
    if options.file.exists():
        document = json.loads(options.file.read_text("utf-8"))
    else:
        document = {
            "schema": "metalassay.forks/1",
            "what": f"{first.label} and {second.label}, {options.rounds} rounds a replicate; log-ratios of CPU"
            " time: B over A, A/A control over A",
            "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": hardware.describe(hardware.probe(gpu_too=False)),
            "versions": versions.installed(("torch", "transformers", "metalassay")),
            "servers": [],
        }
    plan = sampling.Plan(clock="cpu", rounds=options.rounds, seed=int(time.time()))
    state = sampling.State()
    arms = {decision.FIRST: first, decision.CONTROL: first, decision.SECOND: second}
    try:
        while len(document["servers"]) < options.servers:
            document["servers"].append(measured(arms, plan, state, options.replicates))
            write_atomically(options.file, json.dumps(document, indent=0) + "\n")
            print(json.dumps(document["servers"][-1]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted: the servers so far are saved", file=sys.stderr)
    print(summary(document["servers"]))


def measured(
    arms: dict[str, Arm], plan: sampling.Plan, state: sampling.State, replicates: int
) -> dict[str, Any]:
    """Return the effects of the forks of one server, and of one replicate of started processes."""
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    for way, number, options in (
        (FORKED, replicates, {"servers": 1}),
        (STARTED, 1, {"fresh": True}),
    ):
        with Processes(**options) as processes:
            processes.prepare(*arms.values())
            if bool(processes.servers) != (way == FORKED):
                raise SystemExit(f"not {way}: {processes.refused}")
            effects = []
            for _ in range(number):
                state.replicates.append(  # their number seeds the orders
                    sampling.run_replicate(
                        arms, processes.start, plan, state, processes.pin_to_one_core
                    )
                )
                effects.append([round(each, 6) for each in state.replicates[-1].effects("cpu")])
            found[way] = effects
    return found


def summary(servers: list[dict[str, Any]]) -> str:
    """Return what was found, as lines."""
    lines = []
    for column, name in ((0, "B over A"), (1, "A/A control")):
        groups = [[each[column] for each in server[FORKED]] for server in servers]
        means = [statistics.fmean(group) for group in groups]
        started = [each[column] for server in servers for each in server[STARTED]]
        gap = decision.interval(
            [a - b for a, b in zip(means, started, strict=True)], 0.05
        )  # in pairs: both were measured after one another
        lines.append(
            f"{name}: forked {percent(statistics.fmean(means))}, started"
            f" {percent(statistics.fmean(started))}; difference {percent(gap.mean)}"
            f" [{percent(gap.low)}, {percent(gap.high)}] (95 %)"
        )
        within, between, most = components(groups)
        lines.append(
            f"  standard deviations: between replicates of one server {within:.2%}, between servers"
            f" {between:.2%} (at most {most:.2%}), between started replicates {statistics.stdev(started):.2%}"
        )
    return "\n".join(lines)


def components(groups: list[list[float]]) -> tuple[float, float, float]:
    """Return the standard deviations within and between groups of equal size, and the latter's upper bound.

    The bound is that of the ratio of the mean squares with the quantile of F replaced by that of its
    numerator, chi squared over its degrees of freedom: the degrees within are many.
    """
    size = len(groups[0])
    within = statistics.fmean(map(statistics.variance, groups))
    among = size * statistics.variance([statistics.fmean(group) for group in groups])
    most = among / (chi_squared(0.05, len(groups) - 1) / (len(groups) - 1))
    return (
        math.sqrt(within),
        math.sqrt(max(0.0, (among - within) / size)),
        math.sqrt(max(0.0, (most - within) / size)),
    )


def chi_squared(p: float, df: int) -> float:
    """Return the quantile of chi squared, by Wilson and Hilferty (PNAS 17 (1931) 684)."""
    part = 2 / (9 * df)
    return df * (1 - part + student_t.normal_quantile(p) * math.sqrt(part)) ** 3


def percent(log_ratio: float) -> str:
    """Return a log-ratio as a signed percentage with two decimals."""
    return f"{math.expm1(log_ratio):+.2%}"


if __name__ == "__main__":
    main()
