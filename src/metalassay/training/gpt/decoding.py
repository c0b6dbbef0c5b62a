"""Compute the logits of a ``TinyGPT``'s next token with a KV cache.

A prompt is read at once by the model's own modules. After that, tokens come one at a time, and a small
model spends its time on launching operations, not on arithmetic: so that path looks up each weight
once, works on vectors, and calls as few operations as possible.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.workloads.models.tiny_gpt import Attention, Block, TinyGPT


class _Norm(NamedTuple):
    shape: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    epsilon: float


class _Layer(NamedTuple):
    attention_norm: _Norm
    qkv: tuple[Tensor, Tensor]
    mixed: tuple[Tensor, Tensor]
    mlp_norm: _Norm
    expand: tuple[Tensor, Tensor]
    projection: tuple[Tensor, Tensor]


class Decoder:
    """Reads tokens in order; ``length`` is the number read so far, ``context`` the maximum.

    It uses the weights that the model has when the decoder is created. The model must be in
    evaluation mode.
    """

    def __init__(self, model: TinyGPT) -> None:
        self._model = model
        self._blocks = [block for block in model.blocks if isinstance(block, Block)]
        self.context, channels = model.positions.weight.shape
        self.device = model.positions.weight.device
        self.length = 0
        heads = self._blocks[0].attention.heads
        self._split = (3, 1, heads, 1, channels // heads)
        # (L, 2, 1, H, T, d / H): the keys and the values of a layer in the shape of attention.
        shape = (len(self._blocks), 2, 1, heads, self.context, channels // heads)
        self._cache = torch.empty(shape, device=self.device)
        self._layers = [
            _Layer(
                _norm(block.attention_norm),
                _weights(block.attention.qkv),
                _weights(block.attention.projection),
                _norm(block.mlp_norm),
                _weights(block.expand),
                _weights(block.projection),
            )
            for block in self._blocks
        ]
        self._last = _norm(model.norm)
        self._tokens, self._positions = (
            model.tokens.weight.detach(),
            model.positions.weight.detach(),
        )

    def read(self, tokens: list[int]) -> Tensor:
        """Return the logits, (V,), after ``tokens``: one that continues the sequence, or a new prompt."""
        with torch.inference_mode():
            if len(tokens) == 1 and self.length:
                return self._read_one(tokens[0])
            self.length = 0
            return self._read_prompt(torch.tensor([tokens], device=self.device))

    def _read_prompt(self, tokens: Tensor) -> Tensor:
        end = tokens.shape[1]
        x = self._model.tokens(tokens) + self._positions[:end]  # (1, n, d)
        for block, cache in zip(self._blocks, self._cache, strict=True):
            x = x + _attend(block.attention, block.attention_norm(x), cache)
            hidden = functional.gelu(block.expand(block.mlp_norm(x)))
            x = x + block.projection(hidden)
        self.length = end
        return functional.linear(self._model.norm(x[:, -1]), self._tokens)[0]

    def _read_one(self, token: int) -> Tensor:
        at, end = self.length, self.length + 1
        x = self._tokens.select(0, token).add(
            self._positions.select(0, at)
        )  # (d,), changed in place
        # Views are taken for all layers at once, and by methods: indexing with brackets costs more
        # than most of the arithmetic here.
        now = self._cache.narrow(4, at, 1).unbind()
        past = self._cache.narrow(4, 0, end).flatten(0, 1).unbind()  # keys and values by turns
        for layer, written, keys, values in zip(
            self._layers, now, past[::2], past[1::2], strict=True
        ):
            weight, bias = layer.qkv
            projected = torch.addmv(bias, weight, torch.layer_norm(x, *layer.attention_norm))
            query, key_and_value = projected.view(self._split).split_with_sizes((1, 2))
            written.copy_(key_and_value)
            mixed = functional.scaled_dot_product_attention(query.squeeze(0), keys, values)
            weight, bias = layer.mixed
            x.add_(bias).addmv_(weight, mixed.view(-1))
            weight, bias = layer.expand
            hidden = torch.addmv(bias, weight, torch.layer_norm(x, *layer.mlp_norm))
            weight, bias = layer.projection
            x.add_(bias).addmv_(weight, functional.gelu(hidden))
        self.length = end
        return torch.mv(self._tokens, torch.layer_norm(x, *self._last))


def _attend(attention: Attention, x: Tensor, cache: Tensor) -> Tensor:
    n, channels = x.shape[1:]
    heads = attention.qkv(x).view(1, n, 3, attention.heads, channels // attention.heads)
    q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (1, H, n, d / H)
    cache[0, :, :, :n], cache[1, :, :, :n] = k, v
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    out: Tensor = attention.projection(mixed.transpose(1, 2).reshape(1, n, channels))
    return out


def _weights(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach(), layer.bias.detach()


def _norm(layer: nn.LayerNorm) -> _Norm:
    return _Norm(layer.normalized_shape, layer.weight.detach(), layer.bias.detach(), layer.eps)
