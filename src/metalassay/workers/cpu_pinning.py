"""The choice of the core to which the processes of a replicate are pinned.

The processes take turns; only one works at a time. By default the system moves each to whatever core
is free, and the step after a move finds cold caches. Pinned to one core, the single-threaded steps of
our workloads vary half as much between ABBA blocks (measured in turns on 2 virtual cores: GPT 22 % and
11 %, CNN 14 % and 7 %). The core is chosen for each replicate, since other programs may be busy on one.
A pinned process cannot move away, so the core is chosen while the processes are idle, and chosen again
as soon as a round shows that something else uses it. Only Linux lets a process choose its cores;
elsewhere nothing is pinned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psutil

from metalassay.workers.specs import Arm


def possible(*arms: Arm) -> bool:
    """Whether these arms can share one core: each uses one thread, on the CPU."""
    return all(arm.spec.threads == 1 and arm.spec.device == "cpu" for arm in arms)


def allowed() -> tuple[int, ...]:
    """Return the cores that this process may use; empty where a process cannot choose."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


# Long compared with the 10 ms ticks of Linux's counters, short compared with a replicate.
WATCH_SECONDS = 0.15


def choose(cores: tuple[int, ...]) -> int:
    """Observe the cores for a moment, while our processes are idle; return the idlest."""
    before = idle_seconds()
    time.sleep(WATCH_SECONDS)
    return idlest(cores, before, idle_seconds())


def idle_seconds() -> dict[int, float]:
    """Return the seconds that each core has been idle since the system started."""
    return {number: core.idle for number, core in enumerate(psutil.cpu_times(percpu=True))}


def idlest(cores: tuple[int, ...], before: Mapping[int, float], now: Mapping[int, float]) -> int:
    """Return the core with the most idle time between two ``idle_seconds``; the last of equal ones.

    The last, because most interrupts go to the first.
    """
    return max(cores, key=lambda core: (now.get(core, 0.0) - before.get(core, 0.0), core))
