"""Let a program find no MPS, also on a Mac, and let its calls of torch.mps do no harm.

Runs beside the user's torch, without metalassay.
"""

from __future__ import annotations

from typing import Any

import torch

asked = [0]
"""How often the program was told that there is no MPS."""


def hide_mps() -> None:
    """Let a program that asks torch for a device choose the CPU.

    On MPS the first operator without a kernel would end it, and those after it would stay unknown.
    """

    def unavailable() -> bool:
        asked[0] += 1
        return False

    backend: Any = torch.backends.mps
    backend.is_available = unavailable
    if hasattr(torch.mps, "is_available"):  # from torch 2.4
        torch.mps.is_available = unavailable
    if hasattr(torch.mps, "device_count"):  # from torch 2.5
        torch.mps.device_count = lambda: 0
    accelerator: Any = getattr(torch, "accelerator", None)  # from torch 2.6
    if accelerator is not None:
        accelerator.is_available = lambda: False
        accelerator.device_count = lambda: 0
        accelerator.current_accelerator = lambda check_available=False: None
    _harmless()


def _harmless() -> None:
    """Let what a program with mps in it asks of the device have an answer; the CPU runs it here."""
    mps: Any = torch.mps
    for name in (
        "synchronize",
        "empty_cache",
        "manual_seed",
        "seed",
        "set_per_process_memory_fraction",
    ):
        if hasattr(mps, name):
            setattr(mps, name, lambda *_: None)
    for name in ("current_allocated_memory", "driver_allocated_memory", "recommended_max_memory"):
        if hasattr(mps, name):
            setattr(mps, name, lambda: 0)
    # Functions of their own: torch.compile refuses two names of one.
    mps.get_rng_state = lambda: torch.get_rng_state()
    mps.set_rng_state = lambda new_state: torch.set_rng_state(new_state)
