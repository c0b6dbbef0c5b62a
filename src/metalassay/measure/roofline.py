"""Measure the peak of a device: the rate of a matrix product and of a triad, in under two seconds.

Products of n x n float32 matrices for arithmetic, a = b + s * c for memory (STREAM's triad, 12 bytes
per element). The best of many tries counts, since a peak is what can be reached, not the usual rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from metalassay.measure.device import synchronize

_SECONDS = 0.6  # for each of the two, after an untimed first call
# A GPU needs larger ones to be busy. Three arrays of 64 MB exceed the caches of most CPUs.
_SIDE = {"cpu": 512}
_ELEMENTS = {"cpu": 16 * 2**20}
_SIDE_OF_GPU, _ELEMENTS_OF_GPU = 4096, 64 * 2**20


@dataclass(frozen=True)
class MeasuredPeak:
    """The float32 GFLOP/s and GB/s (1e9) reached with ``threads``; the probe took ``seconds``."""

    device: str
    threads: int
    gflop_s: float
    gb_s: float
    seconds: float


def probe(device: torch.device) -> MeasuredPeak:
    """Measure both rates on ``device`` with torch's current number of threads."""
    began = time.perf_counter()
    side = _SIDE.get(device.type, _SIDE_OF_GPU)
    elements = _ELEMENTS.get(device.type, _ELEMENTS_OF_GPU)
    with torch.no_grad():
        left = torch.rand(side, side, device=device)
        product = torch.empty_like(left)
        gemm = _quickest(lambda: torch.mm(left, left, out=product), device)
        b, c = torch.rand(elements, device=device), torch.rand(elements, device=device)
        a = torch.empty_like(b)
        triad = _quickest(lambda: torch.add(b, c, alpha=3.0, out=a), device)
    return MeasuredPeak(
        device=device.type,
        threads=torch.get_num_threads(),
        gflop_s=2 * side**3 / gemm / 1e9,
        gb_s=12 * elements / triad / 1e9,
        seconds=time.perf_counter() - began,
    )


def _quickest(work: Callable[[], object], device: torch.device) -> float:
    work()
    synchronize(device)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
