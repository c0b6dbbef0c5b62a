"""Find the device on which torch can really compute, wait for it, and read its state.

This is the only module that names a backend of torch. Backends are looked up at each call, so that one
that appears late (the emulated one) or is replaced in a test is used.
"""

from __future__ import annotations

import platform
import sys

import psutil
import torch

from metalassay.errors import UserError
from metalassay.fields import first_line
from metalassay.machine.process_memory import peak_rss

CHOICES = ("auto", "cpu", "mps", "cuda")


def resolve(wanted: str) -> torch.device:
    """Return the device to run on: ``wanted``, or for "auto" the first usable of mps, cuda, cpu.

    Usable means that a small product was computed there correctly: on some virtual machines torch
    reports a Metal device on which every allocation fails
    (https://github.com/actions/runner-images/issues/9918). Raises ``UserError`` with the reason
    if the requested device is unknown or not usable.
    """
    if wanted not in CHOICES:
        raise UserError(f"unknown device {wanted!r}", f"choose one of {', '.join(CHOICES)}")
    if wanted == "auto":
        return next(torch.device(kind) for kind in ("mps", "cuda", "cpu") if not unusable(kind))
    reason = unusable(wanted)
    if reason:
        raise UserError(
            f"{wanted} cannot be used here: {reason}",
            "run with --device cpu; `metalassay doctor` looks for the cause",
        )
    return torch.device(wanted)


def unusable(kind: str) -> str | None:
    """Return why ``kind`` ("cpu", "mps" or "cuda") is not usable, None if it is."""
    if kind == "mps":
        if not torch.backends.mps.is_built():
            return f"torch {torch.__version__} is built without Metal"
        if not torch.backends.mps.is_available():
            return (
                f"torch {torch.__version__} finds no Metal GPU it supports "
                "(an older macOS, a virtual machine or a sandbox)"
            )
    if kind == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA GPU"
    try:
        ones = torch.ones(8, 8, device=kind)
        total = (ones @ ones).sum()
        synchronize(ones.device)
        result = total.item()
    except RuntimeError as error:  # how torch reports a lack of memory, kernels or drivers
        reason = first_line(error)
        return f"a product of two 8 x 8 matrices failed: {reason}"
    return None if result == 512 else f"a product of two 8 x 8 matrices gave {result}, not 512"


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has finished all queued work, so that a clock includes it.

    The CPU has no queue. Raises ``ValueError`` for an unsupported type of device.
    """
    if device.type == "mps":
        torch.mps.synchronize()
    elif device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        raise ValueError(f"cannot wait for a device of type {device.type!r}")


def memory(device: torch.device) -> dict[str, int | None]:
    """Return bytes: held by tensors now ("live"), and allocated by the driver ("driver").

    On the CPU neither is known, so both are None. "peak_rss" is the largest resident memory of this
    process so far, which may be due to earlier work.
    """
    live = driver = None
    if device.type == "mps":
        live, driver = torch.mps.current_allocated_memory(), torch.mps.driver_allocated_memory()
    elif device.type == "cuda":
        live, driver = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return {"live": live, "driver": driver, "peak_rss": peak_rss()}


def empty_cache(device: torch.device) -> None:
    """Give memory that no tensor uses back to the device; the CPU's allocator keeps none that could be."""
    if device.type == "mps":
        torch.mps.empty_cache()
    elif device.type == "cuda":
        torch.cuda.empty_cache()


def capacity(device: torch.device) -> int:
    """Return the bytes of memory that ``device`` can use at most: a CUDA GPU's own, else the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of torch's random number generators of the CPU and of ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    elif device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_rng_state(
    device: torch.device, states: dict[str, torch.Tensor] | None, seed: int = 0
) -> None:
    """Restore what ``rng_state`` returned; generators without a stored state are seeded with ``seed``."""
    states = states or {}
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    else:
        torch.default_generator.manual_seed(seed)
    if device.type == "mps":
        if "mps" in states:
            torch.mps.set_rng_state(states["mps"])
        else:
            torch.mps.manual_seed(seed)
    elif device.type == "cuda":
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
        else:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)


def name(device: torch.device) -> str:
    """Return torch's name for the hardware behind ``device``."""
    if device.type == "mps":
        get_name = getattr(torch.backends.mps, "get_name", None)  # from torch 2.9
        return str(get_name()) if get_name else "Metal GPU"
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def emulated(device: torch.device) -> bool:
    """Whether ``device`` is the emulated MPS: outside macOS there is no Metal, so timing is refused."""
    return device.type == "mps" and sys.platform != "darwin"
