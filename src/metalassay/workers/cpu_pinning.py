"""Which core the processes of a trio are kept on.

They take turns, one at work at a time. Left alone, the system moves each to whatever core is free, and
the step after a move finds its caches cold: kept on one core, the single-threaded steps of our workloads
vary half as much from palindrome to palindrome (measured in turns, 2 virtual cores: GPT 22 % and 11 %,
CNN 14 % and 7 %). Which core that is, changes from trio to trio: what else runs may be busy on one.
What is kept cannot step aside, so the core is chosen while the processes rest, and chosen again as
soon as a block shows that something else wants it too. Only Linux lets a process choose; elsewhere
nothing is kept anywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psutil

from metalassay.workers.specs import Arm


def may_be_kept(*arms: Arm) -> bool:
    """Whether these arms run on one core: each is to use one thread, of the CPU."""
    return all(arm.spec.threads == 1 and arm.spec.device == "cpu" for arm in arms)


def allowed() -> tuple[int, ...]:
    """Return the cores that this process may use; none where a process cannot choose."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


WATCH_SECONDS = 0.15  # long against the 10 ms in which Linux counts, short against a trio


def choose(cores: tuple[int, ...]) -> int:
    """Watch the cores for a moment, in which nothing of ours works; return the idlest."""
    before = idle_seconds()
    time.sleep(WATCH_SECONDS)
    return idlest(cores, before, idle_seconds())


def idle_seconds() -> dict[int, float]:
    """Return for how long each core has done nothing since the system started."""
    return {number: core.idle for number, core in enumerate(psutil.cpu_times(percpu=True))}


def idlest(cores: tuple[int, ...], before: Mapping[int, float], now: Mapping[int, float]) -> int:
    """Return the core that did nothing for longest between two ``idle_seconds``; at a tie the last.

    The last, as interrupts mostly go to the first.
    """
    return max(cores, key=lambda core: (now.get(core, 0.0) - before.get(core, 0.0), core))
