"""Check that a device computes the same as the CPU: forward, backward and optimizer steps.

A speed means little if the results are wrong, and on MPS they have been. The check is in float32 and
without dropout, since devices do not share random numbers. The optimizer is the workloads' AdamW with
a larger epsilon: with the default, a gradient that consists of rounding errors only would move a
parameter by the whole learning rate in either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from metalassay.fields import first_line
from metalassay.workloads.registry import Recipe

SAMPLES = 4
STEPS = 3
EPS = 1e-3
TOLERANCE = 1e-3
"""Largest difference, absolute and relative; float32 against float64 needs at most 5.5e-5."""


def disagreement(recipe: Recipe, device: str) -> str:
    """Return how ``device`` differs from the CPU on a workload, or "" if it does not.

    An error on the device counts as a disagreement, and its message is returned.
    """
    return difference(
        recipe, {what: partial(compute, recipe, device) for what, compute in COMPUTATIONS.items()}
    )


def difference(recipe: Recipe, others: Mapping[str, Callable[[], Tensor]]) -> str:
    """Return how the results of ``others`` differ from the CPU's, or "" if they do not.

    ``others`` has a function for each of ``COMPUTATIONS``, which is called one after the other.
    """
    for what, compute in COMPUTATIONS.items():
        expected = compute(recipe, "cpu")
        try:
            actual = others[what]().to("cpu")
        except (RuntimeError, TypeError) as error:  # what torch raises for unsupported operations
            return f"{what} fails: {first_line(error)}"
        close = torch.isclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)
        wrong = int((~close).sum())
        if wrong:
            return f"{what}: {wrong} of {expected.numel()} values differ from the CPU's"
    return ""


def forward(recipe: Recipe, device: str) -> Tensor:
    """Return the output of a workload's model on ``device``."""
    model, inputs, _ = _built(recipe, device)
    answer: Tensor = model(*inputs)
    return answer.detach()


def backward(recipe: Recipe, device: str) -> Tensor:
    """Return all gradients of one pass, flattened, relative to the largest."""
    model, inputs, target = _built(recipe, device)
    recipe.loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
    gradients = [
        parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None
    ]
    every = torch.cat(gradients)
    return every / every.abs().max()


def training(recipe: Recipe, device: str) -> Tensor:
    """Return the change of each parameter in three steps, flattened, relative to the largest."""
    model, inputs, target = _built(recipe, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, eps=EPS)
    before = torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])
    for _ in range(STEPS):
        optimizer.zero_grad()
        recipe.loss(model(*inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    way = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]) - before
    return way / way.abs().max()


COMPUTATIONS = {"forward": forward, "backward": backward, "training": training}
"""What is compared, in this order; each returns a flat tensor or logits."""


def _built(recipe: Recipe, device: str) -> tuple[nn.Module, tuple[Tensor, ...], Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = recipe.build()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
    batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(0)).to(torch.device(device))
    return model.to(device).train(), batch.inputs, batch.target
