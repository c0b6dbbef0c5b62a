"""Which files come from the same machine, and what to call it. A machine is identified by its hardware.

Neither the folder nor the version of the system counts: after an update it is still the same Mac. Two
Macs of the same configuration cannot be told apart, as nothing in a file identifies a person's device.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metalassay.machine.hardware import Hardware
from metalassay.machine.hardware import identity as identity
from metalassay.report.model import REHEARSAL

if TYPE_CHECKING:
    from metalassay.results.parse import LargestBatch, Measurement


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts 1.8 before 1.10 and M4 before M4 Pro."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part)
        for part in re.split(r"(\d+)", text)
    )


def in_order(machines: Iterable[Hardware]) -> list[Hardware]:
    """Return each machine once: Macs first, by chip and size, then the others."""
    return sorted(
        {identity(machine) for machine in machines},
        key=lambda machine: (
            machine.system != "Darwin",
            natural(machine.chip or ""),
            machine.gpu_cores or 0,
            machine.memory_bytes or 0,
            repr(machine),
        ),
    )


def short_name(machine: Hardware) -> str:
    """Return a name for the head of a table, as in "Apple M4 Pro (20-core GPU, 24 GB)"."""
    chip = machine.chip or f"{machine.machine} processor"
    parts = []
    if machine.gpu_cores:
        parts.append(f"{machine.gpu_cores}-core GPU")
    elif machine.gpu and machine.gpu != machine.chip:
        parts.append(machine.gpu)
    if not machine.chip and machine.logical_cores:
        parts.append(f"{machine.logical_cores} threads")
    if machine.memory_bytes:
        parts.append(f"{machine.memory_bytes / 2**30:.0f} GB")
    if machine.virtual and "(Virtual)" not in chip:
        parts.append("virtual machine")
    return f"{chip} ({', '.join(parts)})" if parts else chip


def rehearsed(results: Iterable[Measurement | LargestBatch]) -> frozenset[Hardware]:
    """Return the machines, by ``identity``, all of whose results come from an emulated device."""
    real: dict[Hardware, bool] = {}
    for one in results:
        machine = identity(one.machine)
        real[machine] = real.get(machine, False) or not one.emulated
    return frozenset(machine for machine, any_real in real.items() if not any_real)


def names(
    machines: Iterable[Hardware], rehearsals: frozenset[Hardware] = frozenset()
) -> dict[Hardware, str]:
    """Return the name of each machine, by ``identity``, in the order of ``in_order``.

    Machines that would have the same name get their model, or else a number, behind it. The names of
    ``rehearsals`` (see ``rehearsed``) end in ", rehearsal": nothing ran on such a machine.
    """
    name_of = {machine: short_name(machine) for machine in in_order(machines)}
    for machine in _with_shared_name(name_of):
        name_of[machine] += f" {machine.model}" if machine.model else ""
    numbers: Counter[str] = Counter()
    for machine in _with_shared_name(name_of):
        name = name_of[machine]
        numbers[name] += 1
        name_of[machine] = f"{name} no. {numbers[name]}"
    return {machine: marked(name, machine, rehearsals) for machine, name in name_of.items()}


def marked(name: str, machine: Hardware, rehearsals: frozenset[Hardware]) -> str:
    """Return the name of a machine, followed by ", rehearsal" if it is one of the ``rehearsals``."""
    return f"{name}, {REHEARSAL}" if machine in rehearsals else name


def system_name(machine: Hardware) -> str:
    """Return the system and its version, as in "macOS 15.1" or "Linux 6.1"."""
    return machine.release if machine.system == "Darwin" else f"{machine.system} {machine.release}"


def _with_shared_name(name_of: Mapping[Hardware, str]) -> list[Hardware]:
    counts = Counter(name_of.values())
    return [machine for machine, name in name_of.items() if counts[name] > 1]
