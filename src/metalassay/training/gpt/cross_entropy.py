"""The loss of the next token without the logits of a whole batch in memory, when training on the CPU.

The logits of a batch are by far the largest tensor of a small model: 8 MB at 1,024 tokens and a vocabulary of
2,000. Torch writes them, their logarithms and their gradient to memory and reads them again. Here some rows at a time
stay in the cache, and their gradient is computed at once, since the loss is the end of the forward pass. The
same terms are summed in another order: the results agree to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from metalassay.workloads.models.tiny_gpt import TinyGPT
from metalassay.workloads.registry import Batch

BLOCK = 2**21  # bytes of logits at a time


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the next token, in nats."""
    (tokens,) = batch.inputs
    if isinstance(model, TinyGPT) and _in_blocks(model, tokens):
        states = final_states(model, tokens).flatten(0, 1)  # (B T, d)
        mean: Tensor = _CrossEntropy.apply(states, model.tokens.weight, batch.target.flatten())  # type: ignore[no-untyped-call]
        return mean
    scores = model(tokens)
    return functional.cross_entropy(scores.float().flatten(0, 1), batch.target.flatten())


def final_states(model: TinyGPT, tokens: Tensor) -> Tensor:
    """Return what the output layer of ``model`` sees of tokens (B, T): (B, T, d)."""
    # TinyGPT.forward without its last line: the model's file is measured by the benchmarks, which identify it.
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    x = model.tokens(tokens) + model.positions(positions)
    states: Tensor = model.norm(model.blocks(x))
    return states


def _in_blocks(model: TinyGPT, tokens: Tensor) -> bool:
    return (
        tokens.device.type == "cpu"
        and model.tokens.weight.dtype == torch.float32
        and model.tokens.weight.requires_grad
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


class _CrossEntropy(torch.autograd.Function):
    """``cross_entropy(states @ weight.T, target)``: (N, d), (V, d), (N,) -> ()."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        count = len(states)
        total = states.new_zeros(())
        of_states, of_weight = torch.empty_like(states), torch.zeros_like(weight)
        rows = max(BLOCK // (len(weight) * weight.element_size()), 1)
        parts = (torch.split(each, rows) for each in (states, target, of_states))
        for state, right, gradient in zip(*parts, strict=True):
            logits = state @ weight.t()
            most = logits.amax(1, keepdim=True)
            of_right = logits.gather(1, right[:, None])
            logits.sub_(most).exp_()
            sums = logits.sum(1, keepdim=True)
            total += (sums.log() + most - of_right).sum()
            # Each becomes the gradient of its logit: its probability, less 1 for the right token.
            logits.div_(sums * count)
            logits.scatter_add_(1, right[:, None], logits.new_full((len(right), 1), -1 / count))
            torch.mm(logits, weight, out=gradient)
            of_weight.addmm_(logits.t(), state)
        ctx.save_for_backward(of_states, of_weight)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_states, of_weight = ctx.saved_tensors
        return of_states * gradient, of_weight * gradient, None
