"""Decide when a program has to give up because memory runs out: late rather than wrongly.

A training that is stopped wrongly has lost hours; one that is stopped late is killed by the kernel, as it
would have been without us. So every rule asks for two things: hardly anything is left, and it is this program
that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metalassay.supervise.memory_trend import HIGH_WATERMARK
from metalassay.supervise.program_memory import Room, size

RATIO_VARIABLE = "PYTORCH_MPS_HIGH_WATERMARK_RATIO"
"""torch reads its limit of MPS memory from it, 0 to 2 times the recommended size:
https://docs.pytorch.org/docs/stable/mps_environment_variables.html."""

LEFT_SHARE = 0.04
"""The share of the room below which it runs out. Systems keep a few percent by themselves; at this much Linux drops
file pages that it needs again at once, and macOS compresses and swaps."""
LEFT = 2**30
"""Bytes that must not be left either: 4 % of 192 GiB would be enough for a large batch."""
HELD_SHARE = 0.5
"""The part of what is used that the program must hold: if it is less, ending others helps more."""
WATERMARK_SHARE = 0.95
"""The part of torch's limit above which the next large allocation fails."""
PHYSICAL_SHARE = 0.9
"""The part of a Mac's memory that Metal may have: the default limit of torch is above all memory there is (1.7 times
the recommended two thirds to three quarters), so that the Mac swaps, or freezes, before torch raises an error."""
TENSORS_SHARE = 0.8
"""The part of the driver's memory that tensors must hold. The rest is torch's cache, which torch gives back when it
reaches its limit, and which we can have emptied before: no reason to end anything."""


@dataclass(frozen=True)
class Mps:
    """torch's numbers for MPS in bytes: what Metal gave it, what tensors hold, what Metal recommends."""

    driver: int
    current: int
    recommended: int


def due(
    room: Room,
    program: int,
    limit: int | None = None,
    mps: Mps | None = None,
    high_watermark: float = HIGH_WATERMARK,
) -> str | None:
    """Return why a program that holds ``program`` bytes has to stop, a sentence; None if it need not.

    ``limit`` are the bytes that a person allows it. ``high_watermark`` is torch's ratio, 0 for no limit.
    """
    if limit is not None and program > limit:
        return f"it holds {size(program)} of memory, more than the {size(limit)} that you allow"
    left, used = room.available, room.total - room.available
    if left < min(LEFT_SHARE * room.total, LEFT) and program >= HELD_SHARE * used:
        return (
            f"memory runs out: {size(left)} is left of {room.source}, and it holds {size(program)}"
        )
    if mps is None or mps.current < TENSORS_SHARE * mps.driver:
        return None
    allowed = high_watermark * mps.recommended
    if allowed and mps.driver > WATERMARK_SHARE * allowed:
        return (
            f"MPS memory runs out: it holds {size(mps.driver)} of the {size(allowed)} that torch"
            f" allows ({high_watermark:g} times the recommended {size(mps.recommended)})"
        )
    if mps.driver > PHYSICAL_SHARE * room.total:
        return f"MPS memory runs out: it holds {size(mps.driver)} of {room.source}"
    return None


def high_watermark(environment: Mapping[str, str]) -> float:
    """Return torch's ratio in a program's environment; the default for one that torch refuses."""
    try:
        ratio = float(environment.get(RATIO_VARIABLE, HIGH_WATERMARK))
    except ValueError:
        return HIGH_WATERMARK
    return ratio if 0 <= ratio <= 2 else HIGH_WATERMARK
