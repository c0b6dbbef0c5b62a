"""The harness proves itself before it is believed: what it would get wrong, it is shown to catch.

``python -m metalassay.measure.selftest`` prints the checks as JSON; ``metalassay selftest`` prints them for
people. Each check returns what it saw, so that a failure says by how much.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from metalassay.machine import roofline_model
from metalassay.measure.timing import Timed, best, timed

BUSY = 0.02  # seconds that the known work takes
_TRIES = 15
_WALL_WITHIN, _CPU_WITHIN = 0.02, 0.05  # parts by which the best of the tries may be off
_SLEEP_CPU = 0.2  # part of a sleep that may count as CPU time


@dataclass(frozen=True)
class Check:
    """One check: ``saw`` is what happened, in a sentence."""

    name: str
    passed: bool
    saw: str


def spin(seconds: float = BUSY) -> None:
    """Keep the processor busy for ``seconds`` by the monotonic clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class LateDevice:
    """A device that works behind the caller's back: ``launch`` returns at once, ``wait`` waits."""

    def __init__(self, seconds: float = BUSY) -> None:
        self._seconds = seconds
        self._done = threading.Event()
        self._done.set()

    def launch(self) -> None:
        """Begin work that takes ``seconds``."""
        self._done.clear()
        threading.Timer(self._seconds, self._done.set).start()

    def wait(self) -> None:
        """Return when the work is done."""
        self._done.wait()


Measure = Callable[[Callable[[], object], Callable[[], object], int], Timed]


def busy_wait(measure: Measure = best) -> Check:
    """Time known work: it must take what it takes, by both clocks."""
    found = measure(spin, lambda: None, _TRIES)
    wall, cpu = found.wall / BUSY - 1, found.cpu / BUSY - 1
    passed = -0.001 <= wall <= _WALL_WITHIN and abs(cpu) <= _CPU_WITHIN
    return Check(
        "a known busy-wait is timed right",
        passed,
        f"{BUSY * 1e3:g} ms took {wall:+.2%} by the wall's clock and {cpu:+.2%} of CPU time",
    )


def sleeping(measure: Measure = best) -> Check:
    """Time a sleep: the wall's clock must count it and CPU time must not."""
    found = measure(lambda: time.sleep(BUSY), lambda: None, 3)
    return Check(
        "a sleep is wall time and no CPU time",
        found.wall >= BUSY * 0.999 and found.cpu <= _SLEEP_CPU * BUSY,
        f"{BUSY * 1e3:g} ms of sleep: {found.wall * 1e3:.2f} ms by the wall's clock, "
        f"{found.cpu * 1e3:.2f} ms of CPU time",
    )


def late_device(measure: Callable[..., Timed] = timed) -> Check:
    """Time a device that answers too early: without its synchronize it must be caught."""
    device = LateDevice()
    careless = measure(device.launch, device.wait)

    def whole() -> None:
        device.launch()
        device.wait()

    careful = measure(whole, device.wait)
    return Check(
        "a device without synchronize is caught",
        not careless.waited and careful.waited and careful.wall >= BUSY * 0.99,
        f"without: {careless.wall * 1e3:.2f} ms and {careless.left * 1e3:.1f} ms still to do; "
        f"with: {careful.wall * 1e3:.1f} ms",
    )


def too_fast() -> Check:
    """Offer times that no machine can have: they must be refused, and possible ones not."""
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
        "more than the chip can do is refused",
        passed,
        f"twice the peak of a chip: {refused[2.0] or 'accepted'}; "
        f"twice its bandwidth: {moved[2.0] or 'accepted'}",
    )


def real_device(kind: str) -> Check:
    """Do real work on a device with and without synchronize, as ``late_device`` does."""
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
        f"work on {kind} is waited for",
        careful.waited and not careless.waited,
        f"without synchronize: {careless.wall * 1e3:.2f} ms and {careless.left * 1e3:.1f} ms still "
        f"to do; with: {careful.wall * 1e3:.1f} ms",
    )


def run(device: str = "cpu") -> tuple[Check, ...]:
    """Run all checks; the one on real work only where ``device`` works behind the caller's back."""
    checks = [busy_wait(), sleeping(), late_device(), too_fast()]
    return (*checks, *([] if device == "cpu" else [real_device(device)]))


def main(device: str) -> None:
    """Print checks and roof of ``device`` as JSON; "auto" takes the first that works."""
    from metalassay.measure.device import resolve
    from metalassay.measure.roofline import probe

    where = resolve(device)
    checks = [dataclasses.asdict(each) for each in run(where.type)]
    print(json.dumps({"checks": checks, "roof": dataclasses.asdict(probe(where))}))  # noqa: T201


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["auto"]))
