"""Two of our workloads must compute on the device what they compute on the CPU.

``metalassay.workloads.cpu_parity`` does the computing; this module asserts.
"""

from __future__ import annotations

from mps_hazards import agree

from metalassay.workloads import cpu_parity, registry


def transit_cnn(device: str) -> None:
    same("transit-cnn", device)


def gpt_tiny(device: str) -> None:
    same("gpt-tiny", device)


def same(name: str, device: str) -> None:
    """Assert that the forward pass, the backward pass and the training agree with the CPU, in this order."""
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
