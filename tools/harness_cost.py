"""What the harness costs: pytest-benchmark's round around a 5 ms step against a hand-written loop.

    python tools/harness_cost.py --rounds 60

Both time the same work (arithmetic in Python, about 5 ms), in turns, by CPU time; the ratio of each
pair of turns counts, with the 99 % interval over pairs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from types import SimpleNamespace
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from metalassay.statistics import decision

CALLS = 20


def step() -> int:
    """Do some 5 ms of work."""
    return sum(range(250_000))


def by_hand() -> float:
    """Time the calls as people do: a clock before the loop and one after it."""
    start = time.process_time()
    for _ in range(CALLS):
        step()
    return (time.process_time() - start) / CALLS


def by_harness() -> float:
    """Time the calls as `benchmarks/` does: a round of pytest-benchmark for each call."""
    fixture: Any = BenchmarkFixture  # its runner has no annotations, and needs two fields of it
    holder = SimpleNamespace(_timer=time.process_time, _disable_gc=False)
    run = fixture._make_runner(holder, step, (), {})
    return statistics.fmean(run(None)[0] for _ in range(CALLS))


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    logs, steps = [], []
    for _ in range(options.rounds):
        hand, harness, again, last = by_hand(), by_harness(), by_harness(), by_hand()
        logs.append(math.log((harness + again) / (hand + last)))
        steps.append(hand)
    found = decision.interval(logs, decision.ALPHA)
    middle = decision.midmean(logs)
    low, mean, high = (f"{math.expm1(x):+.2%}" for x in (found.low, found.mean, found.high))
    print(
        f"harness over a hand-written loop, {options.rounds} pairs, steps of"
        f" {statistics.median(steps) * 1e3:.1f} ms: {mean} [{low}, {high}]; midmean {middle:+.2%}"
    )


if __name__ == "__main__":
    main()
