"""Whether a device computes what the CPU does: forward, backward and optimizer steps of a workload.

A speed says little where the numbers are wrong, and on MPS they have been. In float32, without
dropout, whose random numbers no two devices share. The optimizer is the workloads' own AdamW with a
larger epsilon: with the usual one a gradient of nothing but rounding moves a parameter by the whole
learning rate, in either direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metalassay.fields import first_line
from metalassay.workloads.registry import Recipe

SAMPLES = 4
STEPS = 3
TOLERANCE = 1e-3
"""Largest difference, absolute and relative; float32 against float64 needs at most 5.5e-5."""


def disagreement(recipe: Recipe, device: str) -> str:
    """Return where ``device`` departs from the CPU on a workload, "" where it does not.

    An error on the device is a disagreement too: it says what stops it.
    """
    for what, compute in (("forward", forward), ("backward", backward), ("training", training)):
        expected = compute(recipe, "cpu")
        try:
            found = compute(recipe, device).to("cpu")
        except (RuntimeError, TypeError) as error:  # what torch raises for what a device cannot do
            return f"{what} stops: {first_line(error)}"
        close = torch.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
        wrong = int((~close).sum())
        if wrong:
            return f"{what}: {wrong} of {expected.numel()} values differ from the CPU's"
    return ""


def forward(recipe: Recipe, device: str) -> Tensor:
    """Return the answer of a workload's model on ``device``."""
    model, inputs, _ = _built(recipe, device)
    answer: Tensor = model(*inputs)
    return answer.detach()


def backward(recipe: Recipe, device: str) -> Tensor:
    """Return all gradients of one pass, flat, as parts of the largest."""
    model, inputs, target = _built(recipe, device)
    recipe.loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
    gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    every = torch.cat(gradients)
    return every / every.abs().max()


def training(recipe: Recipe, device: str) -> Tensor:
    """Return how far each parameter goes in three steps, flat, as parts of the farthest."""
    model, inputs, target = _built(recipe, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, eps=1e-3)
    before = torch.cat([each.detach().flatten().clone() for each in model.parameters()])
    for _ in range(STEPS):
        optimizer.zero_grad()
        recipe.loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    way = torch.cat([each.detach().flatten() for each in model.parameters()]) - before
    return way / way.abs().max()


def _built(recipe: Recipe, device: str) -> tuple[nn.Module, tuple[Tensor, ...], Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = recipe.build()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
    batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(0)).to(torch.device(device))
    return model.to(device).train(), batch.inputs, batch.target
