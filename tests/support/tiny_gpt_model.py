"""A GPT that is small enough for any test."""

from __future__ import annotations

import torch

from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig

SMALLEST = TinyGPTConfig(vocabulary=50, context=16, layers=2, heads=2, channels=8)


def model(config: TinyGPTConfig = SMALLEST) -> TinyGPT:
    """Return a model with random weights, in evaluation mode."""
    torch.manual_seed(0)
    net = TinyGPT(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(5)  # small weights would hide a wrong mask
    return net
