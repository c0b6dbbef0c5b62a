"""What comes before a benchmark: the harness proves itself, and the workload gets warm."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from metalassay.machine import power
from metalassay.measure import roofline, selftest
from metalassay.measure.steady_state import MOST_STEPS, steady


@dataclass(frozen=True)
class WarmUp:
    """How many steps it took, how long the first one, in seconds, and whether it got steady."""

    steps: int
    first_step: float
    steady: bool


def warm_up(
    step: Callable[[], object],
    most_seconds: float = 30.0,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Run ``step`` until its time no longer changes, at most ``most_seconds`` or 200 times.

    The first step takes 3 to 7 times as long as later ones, and on some devices the next few still
    take double: how many it needs is found out and not assumed.
    """
    seconds: list[float] = []
    began = now = clock()
    while len(seconds) < 2 or (
        not steady(seconds) and len(seconds) < MOST_STEPS and now - began < most_seconds
    ):
        step()
        before, now = now, clock()
        seconds.append(now - before)
    return WarmUp(len(seconds), seconds[0], steady(seconds))


def drain(
    step: Callable[[], object], items: int, reader: power.Reader | str, seconds: float = 2.0
) -> dict[str, Any]:
    """Run ``step`` for ``seconds`` under a counter of energy; items a second and watts go together.

    Where nothing counts energy, nothing is run, and the answer holds the reason.
    """
    calls = 0
    began = time.perf_counter()
    with power.watch(reader) as meter:
        while not isinstance(reader, str) and time.perf_counter() - began < seconds:
            step()
            calls += 1
    found = meter.power
    rate = calls * items / found.seconds if calls else 0.0
    return {**dataclasses.asdict(found), "per_watt": power.per_watt(rate, found)}


def prove(device: torch.device) -> dict[str, Any]:
    """Run the self-test and measure the roof of ``device``; some three seconds."""
    checks = [dataclasses.asdict(each) for each in selftest.run(device.type)]
    return {"checks": checks, "roof": dataclasses.asdict(roofline.probe(device))}


def header(proof: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the header of a run says of ``prove``: what failed, in full, and the roof."""
    failed = [check for check in proof["checks"] if not check["passed"]]
    for check in failed:
        yield f"selftest FAILED: {check['name']}: {check['saw']}"
    roof = proof["roof"]
    yield (
        f"selftest: {len(proof['checks']) - len(failed)} of {len(proof['checks'])} checks pass; roof "
        f"of {roof['device']}, {roof['threads']} thread(s): {roof['gflop_s']:,.0f} GFLOP/s, "
        f"{roof['gb_s']:.1f} GB/s"
    )
