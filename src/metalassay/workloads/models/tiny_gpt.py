"""A small decoder-only transformer like GPT-2 (Radford et al. 2019).

Pre-normalised blocks, learned positions, biases everywhere, the token embedding shared with the output
layer. The gelu is the exact one: GPT-2's tanh approximation takes four times as long on a CPU. Imports
torch and nothing else, so the file can go into an upstream issue.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class TinyGPTConfig:
    """Sizes of a ``TinyGPT``: V tokens, context T, L layers of H heads on d channels."""

    vocabulary: int
    context: int
    layers: int
    heads: int
    channels: int


TINY = TinyGPTConfig(vocabulary=372, context=64, layers=2, heads=2, channels=16)
"""13,568 parameters."""
SMALL = TinyGPTConfig(vocabulary=2000, context=128, layers=2, heads=2, channels=24)
"""65,568 parameters."""
ORIGINAL = TinyGPTConfig(vocabulary=2000, context=256, layers=7, heads=5, channels=160)
"""2,526,240 parameters."""


class Attention(nn.Module):
    """Causal self-attention, (B, T, d) -> (B, T, d)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.channels, 3 * config.channels)
        self.projection = nn.Linear(config.channels, config.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix each position with itself and the earlier ones."""
        batch, time, channels = x.shape
        parts = self.qkv(x).split(channels, dim=2)  # each (B, T, d)
        shape = (batch, time, self.heads, channels // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in parts)  # each (B, H, T, d / H)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, time, channels)  # (B, T, d)
        out: Tensor = self.projection(mixed)
        return out


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on a normalised copy: (B, T, d) -> (B, T, d)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.channels)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.expand = nn.Linear(config.channels, 4 * config.channels)
        self.projection = nn.Linear(4 * config.channels, config.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add the outputs of both sublayers to the residual stream."""
        x = x + self.attention(self.attention_norm(x))
        hidden = functional.gelu(self.expand(self.mlp_norm(x)))  # (B, T, 4 d)
        out: Tensor = x + self.projection(hidden)
        return out


class TinyGPT(nn.Module):
    """Maps tokens (B, T), integers below V, to the logits of the next token, (B, T, V)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.channels)
        self.positions = nn.Embedding(config.context, config.channels)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.channels)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith("projection.weight"):
                # 2 L branches add up in the residual stream; this keeps its variance near 1 branch's.
                nn.init.normal_(parameter, std=0.02 / (2 * config.layers) ** 0.5)
            elif "norm" not in name:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return unnormalised log-probabilities; position t sees tokens 0 to t only."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        x = self.tokens(tokens) + self.positions(positions)  # (B, T, d)
        x = self.norm(self.blocks(x))  # (B, T, d)
        return functional.linear(x, self.tokens.weight)  # (B, T, V), the embedding again
