"""Which device torch can really compute on, and waiting for it.

The one module that names a backend of torch. Every look-up happens when it is needed, so a backend
that appears late (the emulated one) or is replaced in a test is the one that is used.
"""

from __future__ import annotations

import platform
import sys

import torch

from metalassay.errors import UserError
from metalassay.machine.process_memory import peak_rss
from metalassay.mps import probe as mps_probe

CHOICES = ("auto", "cpu", "mps", "cuda")


def resolve(wanted: str) -> torch.device:
    """Return the device to run on: ``wanted``, or for "auto" the first usable of mps, cuda, cpu.

    Usable means that a small product was computed there and came back right: on some virtual
    machines torch reports a Metal device on which every allocation fails
    (https://github.com/actions/runner-images/issues/9918). Raises ``UserError`` with the reason
    where the device asked for is not usable, or unknown.
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
    """Return why nothing can be computed on ``kind`` ("cpu", "mps" or "cuda"), None if it can."""
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
        reason = str(error).partition("\n")[0]
        return f"a product of two 8 x 8 matrices failed: {reason}"
    return None if result == 512 else f"a product of two 8 x 8 matrices gave {result}, not 512"


def probe(kind: str = "mps", timeout: float = 60) -> mps_probe.Probe:
    """Return what MPS really does here, found out in a process of its own; see ``mps.probe``.

    Slower than ``unusable`` and harder to fool: also real work is done, and what hangs or aborts is
    survived. Raises ``ValueError`` for another kind of device.
    """
    if kind != "mps":
        raise ValueError(f"only mps is probed in a process of its own, not {kind!r}")
    return mps_probe.probe(timeout=timeout)


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done all that was asked of it; without this a clock sees nothing.

    The CPU needs no waiting. Raises ``ValueError`` for a device that we cannot wait for.
    """
    if device.type == "mps":
        torch.mps.synchronize()
    elif device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        raise ValueError(f"no way known to wait for a device of type {device.type!r}")


def memory(device: torch.device) -> dict[str, int | None]:
    """Return bytes: what tensors hold now ("live"), and what the driver has given ("driver").

    On the CPU nobody keeps these two apart, so they are None; "peak_rss" is the largest resident
    memory of this process so far, which earlier work in it may have needed.
    """
    live = driver = None
    if device.type == "mps":
        live, driver = torch.mps.current_allocated_memory(), torch.mps.driver_allocated_memory()
    elif device.type == "cuda":
        live, driver = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return {"live": live, "driver": driver, "peak_rss": peak_rss()}


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's random numbers on the CPU and, if it is another, on ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    elif device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_rng_state(
    device: torch.device, states: dict[str, torch.Tensor] | None, seed: int = 0
) -> None:
    """Go back to what ``rng_state`` returned; from None, or what it lacks, start with ``seed``."""
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
    """Return what torch calls the hardware behind ``device``."""
    if device.type == "mps":
        get_name = getattr(torch.backends.mps, "get_name", None)  # from torch 2.9
        return str(get_name()) if get_name else "Metal GPU"
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def emulated(device: torch.device) -> bool:
    """Whether ``device`` only poses as Metal: outside macOS there is none, so nothing is measured."""
    return device.type == "mps" and sys.platform != "darwin"
