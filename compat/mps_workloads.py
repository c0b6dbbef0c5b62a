"""Our two workloads on a device and on the CPU, asserted; ``metalassay.workloads.cpu_parity`` computes."""

from __future__ import annotations

from mps_hazards import agree

from metalassay.workloads import cpu_parity, registry


def transit_cnn(device: str) -> None:
    same("transit-cnn", device)


def gpt_tiny(device: str) -> None:
    same("gpt-tiny", device)


def same(name: str, device: str) -> None:
    """Assert that forward, backward and optimizer steps are the CPU's, one after the other."""
    limit, recipe = cpu_parity.TOLERANCE, registry.get(name)
    agree(
        lambda device: cpu_parity.forward(recipe, device),
        device,
        f"{name}: forward is wrong",
        limit,
    )
    agree(
        lambda device: cpu_parity.backward(recipe, device),
        device,
        f"{name}: backward is wrong",
        limit,
    )
    agree(
        lambda device: cpu_parity.training(recipe, device),
        device,
        f"{name}: training is wrong",
        limit,
    )
