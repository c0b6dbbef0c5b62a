"""Checks of the timing harness itself, on work of a known length and on errors that it must detect.

``python -m metalassay.measure.selftest`` prints the checks as JSON; ``metalassay selftest`` prints them
as text. Each check returns what it saw, so that a failure shows by how much.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from metalassay import streams
from metalassay.machine import roofline_model
from metalassay.measure.timing import Timed, best, timed

BUSY = 0.02  # seconds of known work
_TRIES, _MOST_TRIES = 15, 100  # more only where other programs disturb
_WALL_WITHIN, _CPU_WITHIN = 0.02, 0.05  # largest relative error of the best try
_SLEEP_CPU = 0.2  # largest share of a sleep that may count as CPU time


@dataclass(frozen=True)
class Check:
    """One check: ``saw`` describes what happened."""

    name: str
    passed: bool
    saw: str


def spin(seconds: float = BUSY) -> None:
    """Keep the CPU busy for ``seconds`` by the monotonic clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class LateDevice:
    """An asynchronous device: ``launch`` returns at once, ``wait`` waits for the work."""

    def __init__(self, seconds: float = BUSY) -> None:
        self._seconds = seconds
        self._done = threading.Event()
        self._done.set()

    def launch(self) -> None:
        """Start work that takes ``seconds``."""
        self._done.clear()
        threading.Timer(self._seconds, self._done.set).start()

    def wait(self) -> None:
        """Wait until the work is done."""
        self._done.wait()


Measure = Callable[[Callable[[], object], Callable[[], object], int], Timed]


def busy_wait(measure: Measure = best) -> Check:
    """Time work of a known length: both clocks must measure it correctly.

    Other programs can only lengthen the wall time of a try, and only take CPU time away from it: the wait
    ends by the wall clock. So the shortest wall time counts, and the longest CPU time.
    """
    wall, cpu = float("inf"), -float("inf")
    for tries in range(1, _MOST_TRIES + 1):
        timing = measure(spin, lambda: None, 1)
        wall, cpu = min(wall, timing.wall / BUSY - 1), max(cpu, timing.cpu / BUSY - 1)
        passed = -0.001 <= wall <= _WALL_WITHIN and abs(cpu) <= _CPU_WITHIN
        if passed and tries >= _TRIES:
            break
    saw = f"{BUSY * 1e3:g} ms: {wall:+.2%} by wall time, {cpu:+.2%} by CPU time"
    if not passed and cpu < 0 and _busy():
        saw += "; other programs keep the processors busy: end them, and try again"
    return Check("a busy-wait of known length is timed correctly", passed, saw)


def _busy() -> bool:
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)


def sleeping(measure: Measure = best) -> Check:
    """Time a sleep: wall time must include it and CPU time must not."""
    timing = measure(lambda: time.sleep(BUSY), lambda: None, 3)
    return Check(
        "a sleep counts as wall time and not as CPU time",
        timing.wall >= BUSY * 0.999 and timing.cpu <= _SLEEP_CPU * BUSY,
        f"{BUSY * 1e3:g} ms of sleep: {timing.wall * 1e3:.2f} ms of wall time, "
        f"{timing.cpu * 1e3:.2f} ms of CPU time",
    )


def late_device(measure: Callable[..., Timed] = timed) -> Check:
    """Time an asynchronous device: a missing synchronize must be detected."""
    device = LateDevice()
    careless = measure(device.launch, device.wait)

    def whole() -> None:
        device.launch()
        device.wait()

    careful = measure(whole, device.wait)
    return Check(
        "a missing synchronize is detected",
        not careless.waited and careful.waited and careful.wall >= BUSY * 0.99,
        f"without: {careless.wall * 1e3:.2f} ms, then busy for another {careless.left * 1e3:.1f} ms; "
        f"with: {careful.wall * 1e3:.1f} ms",
    )


def too_fast() -> Check:
    """Check that rates no machine can reach are refused, and possible ones accepted."""
    peak, flop = 4.0, 4_000_000_000
    at = {share: flop / (peak * 1e12 * share) for share in (0.9, 2.0)}
    refused = {
        share: roofline_model.impossible(
            roofline_model.gflop_per_second(flop, seconds),
            device="mps",
            dtype="float32",
            peak_tflop_s=peak,
        )
        for share, seconds in at.items()
    }
    large = 10**10
    moved = {
        share: roofline_model.impossible_traffic(large, large / (120e9 * share), 120.0)
        for share in at
    }
    passed = bool(refused[2.0] and moved[2.0] and not refused[0.9] and not moved[0.9])
    return Check(
        "rates beyond the chip's limits are refused",
        passed,
        f"twice the peak of a chip: {refused[2.0] or 'accepted'}; "
        f"twice its bandwidth: {moved[2.0] or 'accepted'}",
    )


def real_device(kind: str) -> Check:
    """Time real work on a device with and without synchronize, as in ``late_device``."""
    import torch

    from metalassay.measure.device import synchronize

    where = torch.device(kind)
    left = torch.rand(4096, 4096, device=where)

    def wait() -> None:
        synchronize(where)

    def work() -> None:
        for _ in range(20):
            torch.mm(left, left)

    def whole() -> None:
        work()
        wait()

    whole()
    careless, careful = timed(work, wait), timed(whole, wait)
    return Check(
        f"a missing synchronize on {kind} is detected",
        careful.waited and not careless.waited,
        f"without: {careless.wall * 1e3:.2f} ms, then busy for another {careless.left * 1e3:.1f} ms; "
        f"with: {careful.wall * 1e3:.1f} ms",
    )


def run(device: str = "cpu") -> tuple[Check, ...]:
    """Run all checks; the one on real work only if ``device`` is asynchronous."""
    checks = [busy_wait(), sleeping(), late_device(), too_fast()]
    return (*checks, *([] if device == "cpu" else [real_device(device)]))


def main(device: str) -> int:
    """Print the checks and the measured peak of ``device`` as JSON; "auto" is the first that works."""
    from metalassay.measure.device import resolve
    from metalassay.measure.roofline import probe

    where = resolve(device)
    checks = [dataclasses.asdict(each) for each in run(where.type)]
    print(json.dumps({"checks": checks, "roof": dataclasses.asdict(probe(where))}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(streams.run(lambda: main(*(sys.argv[1:] or ["auto"]))))
