"""Check that MLX computes the same as PyTorch on the CPU: forward, backward and optimizer steps.

The computations, their tolerance, and the reason for a larger epsilon are those of ``cpu_parity``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalassay.workloads import cpu_parity, mlx_registry
from metalassay.workloads.registry import Recipe

if TYPE_CHECKING:
    from mlx import nn


def disagreement(recipe: Recipe) -> str:
    """Return how MLX, on its default device, differs from PyTorch on the CPU; "" if it does not."""
    computations = {"forward": forward, "backward": backward, "training": training}
    return cpu_parity.difference(
        recipe, {what: partial(compute, recipe) for what, compute in computations.items()}
    )


def forward(recipe: Recipe) -> Tensor:
    """Return the output of a workload's model."""
    model, batch = _built(recipe)
    return mlx_registry.to_tensor(model(*batch.inputs))


def backward(recipe: Recipe) -> Tensor:
    """Return all gradients of one pass, flattened in PyTorch's order, relative to the largest."""
    from mlx import nn

    model, batch = _built(recipe)
    compute = nn.value_and_grad(
        model, lambda: mlx_registry.loss_of(recipe, model(*batch.inputs), batch.target)
    )
    every = _flat(recipe, compute()[1])
    return every / every.abs().max()


def training(recipe: Recipe) -> Tensor:
    """Return the change of each parameter in three steps, flattened, relative to the largest."""
    model, batch = _built(recipe)
    step = mlx_registry.training_step(recipe, model, compiled=True, eps=cpu_parity.EPS)
    before = _flat(recipe, model.parameters())
    for _ in range(cpu_parity.STEPS):
        step(batch)
    way = _flat(recipe, model.parameters()) - before
    return way / way.abs().max()


def _built(recipe: Recipe) -> tuple[nn.Module, mlx_registry.Arrays]:
    """Return the model without dropout, and its batch."""
    model = mlx_registry.converted(recipe, mlx_registry.build(recipe)).eval()
    batch = recipe.batch(cpu_parity.SAMPLES, torch.Generator().manual_seed(0))
    return model, mlx_registry.to_arrays(batch)


def _flat(recipe: Recipe, tree: object) -> Tensor:
    from mlx.utils import tree_flatten

    tensors = mlx_registry.unconverted(dict(tree_flatten(tree)))
    names = [name for name, _ in mlx_registry.build(recipe).named_parameters()]
    return torch.cat([tensors[name].flatten() for name in names])
