"""Which files come from one machine, and what to call it. A machine is its hardware.

Not its folder, and not its system's version either: the same Mac after an update is the same Mac.
Two Macs of one configuration cannot be told apart; nothing in a file identifies a person's device.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from metalassay.machine.hardware import Hardware
from metalassay.machine.hardware import identity as identity


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which 1.8 comes before 1.10, and M4 before M4 Pro."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part)
        for part in re.split(r"(\d+)", text)
    )


def in_order(machines: Iterable[Hardware]) -> list[Hardware]:
    """Return each machine once: Apple's chips first, by name and size, then the others."""
    return sorted(
        {identity(machine) for machine in machines},
        key=lambda each: (
            each.system != "Darwin",
            natural(each.chip or ""),
            each.gpu_cores or 0,
            each.memory_bytes or 0,
            repr(each),
        ),
    )


def short_name(machine: Hardware) -> str:
    """Return a name for a table's head, as in "Apple M4 Pro (20-core GPU, 24 GB)"."""
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


def names(machines: Iterable[Hardware]) -> dict[Hardware, str]:
    """Name each machine, by ``identity``, in the order of ``in_order``.

    Those that would be called the same get their model, and a number where that does not help.
    """
    called = {machine: short_name(machine) for machine in in_order(machines)}
    for machine in _namesakes(called):
        called[machine] += f" {machine.model}" if machine.model else ""
    numbers: Counter[str] = Counter()
    for machine in _namesakes(called):
        name = called[machine]
        numbers[name] += 1
        called[machine] = f"{name} no. {numbers[name]}"
    return called


def _namesakes(called: Mapping[Hardware, str]) -> list[Hardware]:
    counts = Counter(called.values())
    return [machine for machine, name in called.items() if counts[name] > 1]
