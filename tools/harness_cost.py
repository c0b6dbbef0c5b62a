"""Measure the overhead of the harness: pytest-benchmark's rounds against a hand-written loop.

    python tools/harness_cost.py --rounds 60

Both time the same work (arithmetic in Python, about 5 ms) by CPU time, in ABBA blocks. Prints the
mean ratio over the blocks with its 99 % interval.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from types import SimpleNamespace
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from metalassay.compare import decision

CALLS = 20


def step() -> int:
    """Compute for about 5 ms."""
    return sum(range(250_000))


def by_hand() -> float:
    """Time the calls as people do: read the clock before the loop and after it."""
    start = time.process_time()
    for _ in range(CALLS):
        step()
    return (time.process_time() - start) / CALLS


def by_harness() -> float:
    """Time the calls as `benchmarks/` does: one round of pytest-benchmark per call."""
    fixture: Any = BenchmarkFixture  # its runner has no annotations, and uses two of its fields
    fields = SimpleNamespace(_timer=time.process_time, _disable_gc=False)
    run = fixture._make_runner(fields, step, (), {})
    return statistics.fmean(run(None)[0] for _ in range(CALLS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    logs, steps = [], []
    for _ in range(options.rounds):
        a1, b1, b2, a2 = by_hand(), by_harness(), by_harness(), by_hand()
        logs.append(math.log((b1 + b2) / (a1 + a2)))
        steps.append(a1)
    interval = decision.interval(logs, decision.ALPHA)
    middle = decision.midmean(logs)
    low, mean, high = (
        f"{math.expm1(x):+.2%}" for x in (interval.low, interval.mean, interval.high)
    )
    print(
        f"harness over a hand-written loop, {options.rounds} ABBA blocks, steps of"
        f" {statistics.median(steps) * 1e3:.1f} ms: {mean} [{low}, {high}]; midmean {middle:+.2%}"
    )


if __name__ == "__main__":
    main()
