"""Prepare a benchmark: check the harness, warm the workload up, and measure energy."""

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
    """The number of steps, the seconds of the first one, and whether they became steady."""

    steps: int
    first_step: float
    steady: bool


def warm_up(
    step: Callable[[], object],
    most_seconds: float = 30.0,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Run ``step`` until its time is steady, for at most ``most_seconds`` or ``MOST_STEPS`` steps.

    The first step takes 3 to 7 times as long as later ones, and on some devices the next few still
    take twice as long, so the number of steps is not fixed.
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
    """Run ``step`` for ``seconds`` while energy is measured; return power and items per joule.

    If energy cannot be measured, nothing is run, and the result has the reason.
    """
    calls = 0
    began = time.perf_counter()
    with power.watch(reader) as meter:
        while not isinstance(reader, str) and time.perf_counter() - began < seconds:
            step()
            calls += 1
    measured = meter.power
    rate = calls * items / measured.seconds if calls else 0.0
    return {**dataclasses.asdict(measured), "per_watt": power.per_watt(rate, measured)}


def prove(device: torch.device) -> dict[str, Any]:
    """Run the self-test and measure the peak of ``device``; this takes some three seconds."""
    checks = [dataclasses.asdict(each) for each in selftest.run(device.type)]
    return {"checks": checks, "roof": dataclasses.asdict(roofline.probe(device))}


def failures(proof: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each check of ``prove`` that failed."""
    for check in proof["checks"]:
        if not check["passed"]:
            yield f"selftest FAILED: {check['name']}: {check['saw']}"


def header(proof: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about ``prove`` in the header of a run: failed checks and the measured peak."""
    failed = list(failures(proof))
    yield from failed
    peak = proof["roof"]
    yield (
        f"selftest: {len(proof['checks']) - len(failed)} of {len(proof['checks'])} checks pass; measured "
        f"peak of {peak['device']}, {peak['threads']} thread(s): {peak['gflop_s']:,.0f} GFLOP/s, "
        f"{peak['gb_s']:.1f} GB/s"
    )
