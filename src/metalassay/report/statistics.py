"""Pure statistics over the rounds of saved runs: throughput, its spread, a ratio of two.

Two saved runs cannot be paired: they are processes that ran at different times, perhaps on different
machines. Rounds within a process share its layout, its heat and its minute, so however many there are,
they say how steady that process was and not how another would be. So there is no "significant" here.
What two single processes carry is the ratio of their medians beside the quartiles of each; what several
processes a side carry (`--processes N`) is how that ratio varies from process to process.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metalassay.results.measurement import WHOLE_SOURCE

if TYPE_CHECKING:  # stats stands below them; only the names of their fields are used
    from metalassay.results.measurement import Measurement

_FEWEST_FOR_QUARTILES = 4
_FEWEST_PROCESSES = 5


@dataclass(frozen=True)
class Throughput:
    """Items per second. ``slow`` and ``fast`` are its quartiles, None with fewer than 4 rounds."""

    median: float
    slow: float | None
    fast: float | None
    rounds: int


def throughput(seconds: Sequence[float], items: int) -> Throughput:
    """Return the throughput of calls that took ``seconds`` (one value a round) for ``items`` each.

    The median is that of the times, turned over; so are the quartiles, which include both ends
    (``statistics.quantiles``, "inclusive"). Raises ``statistics.StatisticsError`` without a round.
    """
    slow = fast = None
    if len(seconds) >= _FEWEST_FOR_QUARTILES:
        quick, _, long = statistics.quantiles(seconds, n=4, method="inclusive")
        slow, fast = items / long, items / quick
    return Throughput(items / statistics.median(seconds), slow, fast, len(seconds))


def ratio(first: Throughput, second: Throughput) -> float:
    """Return how many times the first median the second one is; see the module for its limits."""
    return second.median / first.median


def ratio_over_processes(
    first: Sequence[float], second: Sequence[float], draws: int = 4000, seed: int = 0
) -> tuple[float, float] | None:
    """Return how far the ratio of medians, second over first, varies with the processes drawn.

    Each value stands for a process. The interval is the middle 95 % of a bootstrap over processes
    (B. Efron, Annals of Statistics 7 (1979) 1); None with fewer than 5 a side, from which it would
    mostly tell that there are few. It does not cover the difference between two days.
    """
    if min(len(first), len(second)) < _FEWEST_PROCESSES:
        return None
    chance = random.Random(seed)  # noqa: S311  (no secret)
    ratios = sorted(
        statistics.median(chance.choices(second, k=len(second)))
        / statistics.median(chance.choices(first, k=len(first)))
        for _ in range(draws)
    )
    tail = round(0.025 * draws)
    return ratios[tail], ratios[-1 - tail]


def comparable(a: Measurement, b: Measurement) -> list[str]:
    """Return why the throughputs of ``a`` and ``b`` must not be put in one ratio; empty if they may.

    The machines may differ, what ran on them may not. Threads count on the CPU alone, and the
    system's version on MPS alone: macOS brings the MPS graph compiler along.
    """
    return list(_differences(a, b))


def _differences(a: Measurement, b: Measurement) -> Iterator[str]:
    pairs: list[tuple[str, object, object]] = [
        ("workload", a.workload, b.workload),
        ("mode", a.mode, b.mode),
        ("device", a.device, b.device),
        ("dtype", a.dtype, b.dtype),
        ("batch", a.batch_size, b.batch_size),
        ("items per call", f"{a.items_per_call} {a.unit}", f"{b.items_per_call} {b.unit}"),
        ("parameters", a.parameters, b.parameters),
        ("torch", _public(a.versions["torch"]), _public(b.versions["torch"])),
    ]
    if "cpu" in (a.device, b.device):
        pairs.append(("threads", a.threads, b.threads))
        pairs.append(("malloc", a.malloc, b.malloc))
    if "mps" in (a.device, b.device):
        pairs.append(("system", _major(a.machine.release), _major(b.machine.release)))
    if a.power_mode and b.power_mode:
        pairs.append(("power mode", a.power_mode, b.power_mode))
    for name, one, other in pairs:
        if one != other:
            yield f"{name} {one} and {other}"
    if a.identity.startswith(WHOLE_SOURCE) != b.identity.startswith(WHOLE_SOURCE):
        yield "one file is older than the identity of workloads"
    elif a.identity != b.identity:
        yield "the code of the workload"
    if bool(a.machine.virtual) != bool(b.machine.virtual):
        yield "one is a virtual machine"
    hot = [any(mark.startswith("throttled") for mark in each.flags) for each in (a, b)]
    if hot[0] != hot[1]:
        yield "one was throttled by heat"
    if a.emulated or b.emulated:
        yield "an emulated device"
    if a.parity or b.parity:
        yield "wrong numbers"


def _public(version: str) -> str:
    """Drop the local part: 2.13.0+cpu is 2.13.0 as built for machines without CUDA."""
    return version.partition("+")[0]


def _major(release: str) -> str:
    return release.partition(".")[0]
