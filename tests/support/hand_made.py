"""Measurements written by hand for the tests of the report: round numbers, not measured on a machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from metalassay.machine.chips import Chip, Figure
from metalassay.machine.hardware import Hardware
from metalassay.results.measurement import Measurement
from metalassay.results.parse import LargestBatch

GB = 2**30
M4 = Hardware(
    *("Darwin", "macOS 15.1", "arm64", "Apple M4", "Mac16,10", 10, 4, 6, 10, "Apple M4", 10),
    *(16 * GB, False),
)
M4_PRO = replace(
    M4,
    chip="Apple M4 Pro",
    gpu="Apple M4 Pro",
    gpu_cores=20,
    model="Mac16,11",
    memory_bytes=24 * GB,
)
LINUX = Hardware(
    "Linux", "6.1", "x86_64", "AMD EPYC", None, 2, None, None, 2, None, None, 8 * GB, True
)
WHEN = datetime(2026, 11, 21, 13, tzinfo=UTC)

# 64 samples in 0.064 s: 1,000 per second, quartiles 952 and 1,053; 62.5 GFLOP/s and at most 7.5 GB/s.
BASE = Measurement(
    machine=M4,
    versions={"python": "3.11.7", "torch": "2.13.0"},
    name="test_transit_cnn[train]",
    workload="transit-cnn",
    mode="train",
    device="mps",
    dtype="float32",
    batch_size=64,
    unit="samples",
    items_per_call=64,
    parameters=42_113,
    flop_per_call=4_000_000_000,
    bytes_per_call=480_000_000,
    threads=4,
    identity="ast1-c0ffee000000",
    emulated=False,
    parity="",
    seconds=(0.064, 0.0608, 0.0672, 0.0576, 0.0704),
    file="m4.json",
    when=WHEN,
    compulsory_bytes=10_000_000,
)


def measurement(**changes: Any) -> Measurement:
    """Return ``BASE`` with changes; another batch size also changes the items per call."""
    if "batch_size" in changes:
        changes.setdefault("items_per_call", changes["batch_size"])
    return replace(BASE, **changes)


def on_pro(**changes: Any) -> Measurement:
    """Return ``BASE`` on an M4 Pro in half the time: 2,000 samples per second."""
    halved = tuple(seconds / 2 for seconds in BASE.seconds)
    return measurement(**{"machine": M4_PRO, "seconds": halved, "file": "m4_pro.json", **changes})


def largest(**changes: Any) -> LargestBatch:
    """Return a search on an M4 in which batch size 7,000 fitted and 7,300 did not."""
    found = LargestBatch(
        machine=M4,
        versions={"torch": "2.13.0"},
        workload="transit-cnn",
        mode="train",
        device="mps",
        dtype="float32",
        threads=1,
        malloc="default",
        emulated=False,
        largest=7000,
        limit=7300,
        why="memory pressure: less than 10% of the memory was left",
        peak_bytes=2**33,
        file="maxbatch.json",
        when=WHEN,
    )
    return replace(found, **changes)


def find_chip(machine: Hardware) -> Chip | None:
    """Return a chip as chips.find does, but with limits that do not depend on chips.toml."""
    known = {"Apple M4": (120.0, 4.0), "Apple M4 Pro": (273.0, 8.0)}.get(machine.chip or "")
    if known is None:
        return None
    bandwidth, peak = Figure(known[0], "published", ""), Figure(known[1], "estimate", "")
    return Chip(machine.chip or "", 4, (), machine.gpu_cores, bandwidth, peak, None, None, ())
