"""Statistics of the rounds of saved runs: throughput, its quartiles, and the ratio of two throughputs.

Two saved runs cannot be paired: they are processes that ran at different times, perhaps on different
machines. Rounds within a process share its memory layout, temperature and time of day, so even many of them
show the variation within that process and not between processes. So no difference is called significant
here. Two single processes give the ratio of their medians beside the quartiles of each; several processes
per side (`--processes N`) also give a bootstrap interval of that ratio over processes.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metalassay.results.measurement import WHOLE_SOURCE

if TYPE_CHECKING:
    from metalassay.machine.hardware import Hardware
    from metalassay.results.max_batch_file import LargestBatch
    from metalassay.results.measurement import Measurement

_FEWEST_FOR_QUARTILES = 4
_FEWEST_PROCESSES = 5
EMULATED = "an emulated device"
"""The reason against a ratio with a rehearsal, whose times are those of another machine."""


@dataclass(frozen=True)
class Throughput:
    """Items per second; ``slow`` and ``fast`` are the quartiles, None with fewer than 4 rounds."""

    median: float
    slow: float | None
    fast: float | None
    rounds: int


def throughput(seconds: Sequence[float], items: int) -> Throughput:
    """Return the throughput of calls that took ``seconds`` (one value per round) for ``items`` each.

    Median and quartiles are ``items`` over those of the times; quartiles interpolate linearly between
    order statistics (``statistics.quantiles``, method "inclusive"). Raises
    ``statistics.StatisticsError`` if there is no round.
    """
    slow = fast = None
    if len(seconds) >= _FEWEST_FOR_QUARTILES:
        lower, _, upper = statistics.quantiles(seconds, n=4, method="inclusive")
        slow, fast = items / upper, items / lower
    return Throughput(items / statistics.median(seconds), slow, fast, len(seconds))


def ratio(first: Throughput, second: Throughput) -> float:
    """Return the ratio of the medians, second over first; the module docstring describes its limits."""
    return second.median / first.median


def bootstrap_ratio(
    first: Sequence[float], second: Sequence[float], resamples: int = 4000, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of the ratio of medians, second over first.

    Each value is the throughput of one process, and processes are resampled with replacement
    (B. Efron, Annals of Statistics 7 (1979) 1). None with fewer than 5 processes per side, where the
    interval would be unreliable. It does not include the variation between days.
    """
    if min(len(first), len(second)) < _FEWEST_PROCESSES:
        return None
    generator = random.Random(seed)  # noqa: S311  (not for cryptography)
    ratios = sorted(
        statistics.median(generator.choices(second, k=len(second)))
        / statistics.median(generator.choices(first, k=len(first)))
        for _ in range(resamples)
    )
    tail = round(0.025 * resamples)
    return ratios[tail], ratios[-1 - tail]


def differences(a: Measurement, b: Measurement) -> list[str]:
    """Return why the throughputs of ``a`` and ``b`` are not comparable, an empty list if they are.

    The machines may differ, but not what ran on them, as far as its owner can choose it: the same torch
    can be installed on both. The version of macOS cannot always be chosen, as a Mac runs none from before
    its release, so it is no reason here; see ``system_versions``. The number of threads matters on the CPU only.
    """
    return list(_differences(a, b))


def framework_differences(a: Measurement, b: Measurement) -> list[str]:
    """Return why two frameworks cannot be compared by these runs of one workload on one machine.

    Device, threads and versions are what is compared; the model must be the same, and the circumstances.
    """
    pairs: list[tuple[str, object, object]] = [
        ("parameters", a.parameters, b.parameters),
        ("items per call", a.items_per_call, b.items_per_call),
        ("malloc", a.malloc, b.malloc),
    ]
    if a.power_mode and b.power_mode:
        pairs.append(("power mode", a.power_mode, b.power_mode))
    apart = [f"{name} {one} and {other}" for name, one, other in pairs if one != other]
    return [*apart, *_circumstances(a, b)]


def search_differences(a: LargestBatch, b: LargestBatch) -> list[str]:
    """Return why two searches for the largest batch are not comparable, an empty list if they are."""
    return list(_search_differences(a, b))


def system_versions(a: Hardware, b: Hardware) -> str:
    """Return "macOS 15.5 / 26.1" for two Macs with different systems, "" for any other two machines.

    macOS includes the MPS graph compiler and the BLAS of the CPU, so a part of a ratio may be due to it.
    """
    if a.system != "Darwin" or b.system != "Darwin" or a.release == b.release:
        return ""
    return f"{a.release} / {b.release.removeprefix('macOS ')}"


def public(version: str) -> str:
    """Return the version without its local part: 2.13.0+cpu is 2.13.0 built without CUDA."""
    return version.partition("+")[0]


def _differences(a: Measurement, b: Measurement) -> Iterator[str]:
    pairs: list[tuple[str, object, object]] = [
        ("workload", a.workload, b.workload),
        ("mode", a.mode, b.mode),
        ("device", a.device, b.device),
        ("dtype", a.dtype, b.dtype),
        ("batch", a.batch_size, b.batch_size),
        ("items per call", f"{a.items_per_call} {a.unit}", f"{b.items_per_call} {b.unit}"),
        ("parameters", a.parameters, b.parameters),
        ("framework", a.framework, b.framework),
    ]
    if a.framework == b.framework:
        of_a, of_b = (public(one.versions[one.framework]) for one in (a, b))
        pairs.append((a.framework, of_a, of_b))
    if "cpu" in (a.device, b.device):
        pairs.append(("threads", a.threads, b.threads))
        pairs.append(("malloc", a.malloc, b.malloc))
    if a.power_mode and b.power_mode:
        pairs.append(("power mode", a.power_mode, b.power_mode))
    for name, one, other in pairs:
        if one != other:
            yield f"{name} {one} and {other}"
    if a.identity.startswith(WHOLE_SOURCE) != b.identity.startswith(WHOLE_SOURCE):
        yield "one file is older than the identity of workloads"
    elif a.identity != b.identity:
        yield "different code of the workload"
    yield from _circumstances(a, b)


def _circumstances(a: Measurement, b: Measurement) -> Iterator[str]:
    yield from machine_differences(a.machine, b.machine)
    throttled = [any(flag.startswith("throttled") for flag in one.flags) for one in (a, b)]
    if throttled[0] != throttled[1]:
        yield "one was throttled by heat"
    if a.emulated or b.emulated:
        yield EMULATED
    if a.parity or b.parity:
        yield "wrong numbers"


def _search_differences(a: LargestBatch, b: LargestBatch) -> Iterator[str]:
    # A search records no identity of its workload; what it tries are steps of this version of ours.
    for name in ("torch", "metalassay"):
        one, other = (public(search.versions.get(name, "")) for search in (a, b))
        if one != other:
            yield f"{name} {one or 'not recorded'} and {other or 'not recorded'}"
    yield from machine_differences(a.machine, b.machine)
    if a.emulated or b.emulated:
        yield EMULATED


def machine_differences(a: Hardware, b: Hardware) -> Iterator[str]:
    """Yield how the ways differ in which two machines ran a program, apart from their hardware."""
    if bool(a.virtual) != bool(b.virtual):
        yield "one is a virtual machine"
    if _translated(a) != _translated(b):
        yield "one Python is translated by Rosetta"


def _translated(machine: Hardware) -> bool:
    """Return whether a machine with Apple's chip described itself to a Python for Intel."""
    return machine.machine == "x86_64" and (machine.chip or "").startswith("Apple")
