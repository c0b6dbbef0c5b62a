"""Reading clocks around a step, and telling whether the step had ended by then.

The clocks and the wait come from outside: the self-test proves these very functions on work of a
known length and on a device that answers too early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STILL_BUSY = 0.2
"""Part of a step's time that the device may take to fall silent after it; more, and it was not done."""
_NOTHING = 2e-4  # seconds that asking an idle device takes, at most


@dataclass(frozen=True)
class Timed:
    """Seconds of one step by the wall's clock and of the process's CPU time; and of waiting after.

    ``left`` is how long the device still worked when the step said that it was done.
    """

    wall: float
    cpu: float
    left: float

    @property
    def waited(self) -> bool:
        """Whether the step had waited for the device, so that its time is one."""
        return self.left <= max(_NOTHING, STILL_BUSY * self.wall)


def timed(step: Callable[[], object], wait: Callable[[], object]) -> Timed:
    """Time ``step()``, then how long ``wait()``, the device's synchronize, still takes."""
    wait()
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = time.perf_counter()
    wait()
    return Timed(wall, cpu, time.perf_counter() - after)


def best(step: Callable[[], object], wait: Callable[[], object], tries: int) -> Timed:
    """Return the quickest of several; what disturbs a step only ever makes it longer."""
    return min((timed(step, wait) for _ in range(tries)), key=lambda each: each.wall)
