"""Our two workloads on a device and on the CPU, asserted; ``metalassay.parity`` computes."""

from __future__ import annotations

from mps_hazards import agree

from metalassay import parity


def transit_cnn(device: str) -> None:
    same("transit-cnn", device)


def gpt_tiny(device: str) -> None:
    same("gpt-tiny", device)


def same(name: str, device: str) -> None:
    """Assert that forward, backward and optimizer steps are the CPU's, one after the other."""
    limit = parity.TOLERANCE
    agree(lambda device: parity.forward(name, device), device, f"{name}: forward is wrong", limit)
    agree(lambda device: parity.backward(name, device), device, f"{name}: backward is wrong", limit)
    agree(lambda device: parity.training(name, device), device, f"{name}: training is wrong", limit)
