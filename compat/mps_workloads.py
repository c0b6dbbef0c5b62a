"""Our two workloads on a device and on the CPU, asserted; ``metalassay.parity`` computes."""

from __future__ import annotations

from mps_hazards import agree

from metalassay import parity, workloads


def transit_cnn(device: str) -> None:
    same("transit-cnn", device)


def gpt_tiny(device: str) -> None:
    same("gpt-tiny", device)


def same(name: str, device: str) -> None:
    """Assert that forward, backward and optimizer steps are the CPU's, one after the other."""
    limit, recipe = parity.TOLERANCE, workloads.get(name)
    agree(lambda device: parity.forward(recipe, device), device, f"{name}: forward is wrong", limit)
    agree(
        lambda device: parity.backward(recipe, device), device, f"{name}: backward is wrong", limit
    )
    agree(
        lambda device: parity.training(recipe, device), device, f"{name}: training is wrong", limit
    )
