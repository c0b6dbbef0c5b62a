"""The decoder-only transformer of ``tiny_gpt.py`` in MLX: the same layers, in the same order.

The token embedding is shared with the output layer, and the gelu is the exact one, as there. Imports MLX
and nothing else, so the file can go into an upstream issue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlx.core as mx
from mlx import nn

if TYPE_CHECKING:
    from metalassay.workloads.models.tiny_gpt import TinyGPTConfig


class Attention(nn.Module):  # type: ignore[misc]  # Any to mypy
    """Causal self-attention, (B, T, d) -> (B, T, d)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.channels, 3 * config.channels)
        self.projection = nn.Linear(config.channels, config.channels)

    def __call__(self, x: mx.array) -> mx.array:
        """Mix each position with itself and the earlier ones."""
        batch, time, channels = x.shape
        size = channels // self.heads
        parts = mx.split(self.qkv(x), 3, axis=2)  # each (B, T, d)
        q, k, v = (
            part.reshape(batch, time, self.heads, size).transpose(0, 2, 1, 3) for part in parts
        )  # each (B, H, T, d / H)
        mixed = mx.fast.scaled_dot_product_attention(q, k, v, scale=size**-0.5, mask="causal")
        return self.projection(mixed.transpose(0, 2, 1, 3).reshape(batch, time, channels))


class Block(nn.Module):  # type: ignore[misc]  # Any to mypy
    """Attention, then a two-layer perceptron, each on a normalised copy: (B, T, d) -> (B, T, d)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.channels)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.expand = nn.Linear(config.channels, 4 * config.channels)
        self.projection = nn.Linear(4 * config.channels, config.channels)

    def __call__(self, x: mx.array) -> mx.array:
        """Add the outputs of both sublayers to the residual stream."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.projection(nn.gelu(self.expand(self.mlp_norm(x))))  # (B, T, 4 d) inside


class TinyGPT(nn.Module):  # type: ignore[misc]  # Any to mypy
    """Maps tokens (B, T), integers below V, to the logits of the next token, (B, T, V)."""

    def __init__(self, config: TinyGPTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.channels)
        self.positions = nn.Embedding(config.context, config.channels)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.channels)

    def __call__(self, tokens: mx.array) -> mx.array:
        """Return unnormalised log-probabilities; position t sees tokens 0 to t only."""
        x = self.tokens(tokens) + self.positions(mx.arange(tokens.shape[1]))  # (B, T, d)
        x = self.norm(self.blocks(x))  # (B, T, d)
        return self.tokens.as_linear(x)  # (B, T, V), the embedding again
