"""Our two workloads on a device and on the CPU: what they answer, what they learn from it, and how.

The optimizer is the workloads' own AdamW, with a larger epsilon: with the usual one a gradient of
nothing but rounding moves a parameter by the whole learning rate, in either direction.
"""

from __future__ import annotations

import torch
from mps_hazards import agree
from torch import Tensor, nn

from metalassay.workloads import WORKLOADS

SAMPLES = 4
STEPS = 3


def transit_cnn(device: str) -> None:
    parity("transit-cnn", device)


def gpt_tiny(device: str) -> None:
    parity("gpt-tiny", device)


def parity(name: str, device: str) -> None:
    """Assert that forward, backward and optimizer steps are the CPU's, one after the other."""
    agree(lambda device: forward(name, device), device, f"{name}: forward is wrong", 1e-3)
    agree(lambda device: backward(name, device), device, f"{name}: backward is wrong", 1e-3)
    agree(lambda device: training(name, device), device, f"{name}: training is wrong", 1e-3)


def built(name: str, device: str) -> tuple[nn.Module, tuple[Tensor, ...], Tensor]:
    """Return the model without dropout, whose random numbers no two devices share, and a batch."""
    recipe = WORKLOADS[name]
    model = recipe.build()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
    batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(0)).to(torch.device(device))
    return model.to(device).train(), batch.inputs, batch.target


def forward(name: str, device: str) -> Tensor:
    model, inputs, _ = built(name, device)
    answer: Tensor = model(*inputs)
    return answer


def backward(name: str, device: str) -> Tensor:
    """Return all gradients as parts of the largest."""
    model, inputs, target = built(name, device)
    WORKLOADS[name].loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
    gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    every = torch.cat(gradients)
    return every / every.abs().max()


def training(name: str, device: str) -> Tensor:
    """Return how far each parameter went, as a part of the farthest."""
    model, inputs, target = built(name, device)
    recipe = WORKLOADS[name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, eps=1e-3)
    before = torch.cat([each.detach().flatten().clone() for each in model.parameters()])
    for _ in range(STEPS):
        optimizer.zero_grad()
        recipe.loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    way = torch.cat([each.detach().flatten() for each in model.parameters()]) - before
    return way / way.abs().max()
