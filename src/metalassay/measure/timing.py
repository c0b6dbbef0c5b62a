"""Time a step, and detect whether the device was still busy when the step returned.

The step and the wait are arguments, so that the self-test can check these functions on work of a
known length and on an asynchronous device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STILL_BUSY = 0.2
"""Largest share of a step's time for which the device may still be busy after a complete step."""
_NOTHING = 2e-4  # seconds that waiting for an idle device takes at most


@dataclass(frozen=True)
class Timed:
    """The wall time and CPU time of one step, in seconds.

    ``left`` is how long the device was still busy after the step returned.
    """

    wall: float
    cpu: float
    left: float

    @property
    def waited(self) -> bool:
        """Whether the step waited for the device, so that its time is complete."""
        return self.left <= max(_NOTHING, STILL_BUSY * self.wall)


def timed(step: Callable[[], object], wait: Callable[[], object]) -> Timed:
    """Time ``step()``, and then ``wait()``, the synchronize of the device."""
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = time.perf_counter()
    wait()
    return Timed(wall, cpu, time.perf_counter() - after)


def best(step: Callable[[], object], wait: Callable[[], object], tries: int) -> Timed:
    """Return the fastest of ``tries`` timings; disturbances can only make a step longer."""
    return min((timed(step, wait) for _ in range(tries)), key=lambda timing: timing.wall)
