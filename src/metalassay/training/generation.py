"""Text from a ``TinyGPT``: one token at a time, with what attention has seen kept (a KV cache)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metalassay.models.tiny_gpt import Attention, Block, TinyGPT


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. ``temperature`` 0 takes the likeliest; ``top_k`` 0 and ``top_p`` 1
    leave all of them in.
    """

    temperature: float = 0.5
    top_k: int = 40
    top_p: float = 1.0
    seed: int = 0


class Cache:
    """Keys and values of the positions so far, for each layer: (L, 2, 1, H, T, d / H)."""

    def __init__(self, model: TinyGPT) -> None:
        self.context, channels = model.positions.weight.shape
        attention = _blocks(model)[0].attention
        shape = (
            len(model.blocks),
            2,
            1,
            attention.heads,
            self.context,
            channels // attention.heads,
        )
        self.kept = torch.empty(shape, device=model.positions.weight.device)
        self.length = 0


def _blocks(model: TinyGPT) -> list[Block]:
    return [block for block in model.blocks if isinstance(block, Block)]


def logits(model: TinyGPT, tokens: Tensor, cache: Cache) -> Tensor:
    """Return the logits after the last of ``tokens``, (1, n), which follow those in ``cache``.

    Several tokens at once are allowed on an empty cache only, since they are masked as a square.
    """
    start, end = cache.length, cache.length + tokens.shape[1]
    x = model.tokens(tokens) + model.positions.weight[start:end]  # (1, n, d)
    for block, kept in zip(_blocks(model), cache.kept, strict=True):
        x = x + _attend(block.attention, block.attention_norm(x), kept, start, end)
        hidden = functional.gelu(block.expand(block.mlp_norm(x)), approximate="tanh")
        x = x + block.projection(hidden)
    cache.length = end
    return functional.linear(model.norm(x[:, -1]), model.tokens.weight)[0]  # (V,)


def _attend(attention: Attention, x: Tensor, kept: Tensor, start: int, end: int) -> Tensor:
    n, channels = x.shape[1:]
    heads = attention.qkv(x).view(1, n, 3, attention.heads, channels // attention.heads)
    q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (1, H, n, d / H)
    kept[0, :, :, start:end], kept[1, :, :, start:end] = k, v
    mixed = functional.scaled_dot_product_attention(
        q, kept[0, :, :, :end], kept[1, :, :, :end], is_causal=n > 1
    )
    out: Tensor = attention.projection(mixed.transpose(1, 2).reshape(1, n, channels))
    return out


@torch.inference_mode()
def generate(
    model: TinyGPT, prompt: Sequence[int], most: int, sampling: Sampling, stop: int | None = None
) -> Iterator[int]:
    """Yield up to ``most`` tokens that follow ``prompt``, ending before the token ``stop``.

    Where the context is full, the last half of it is read again and the rest forgotten. The model
    has to be in evaluation mode. Raises ``ValueError`` for an empty prompt.
    """
    if not prompt:
        raise ValueError("an empty prompt has no next token")
    cache, seen = Cache(model), list(prompt)
    device = cache.kept.device
    generator = torch.Generator().manual_seed(sampling.seed)
    fresh = seen[-cache.context :]
    for _ in range(most):
        if cache.length + len(fresh) > cache.context:
            cache.length, fresh = 0, seen[-max(cache.context // 2, 1) :]
        scores = logits(model, torch.tensor([fresh], device=device), cache)
        token = pick(scores.float().cpu(), sampling, generator)
        if token == stop:
            return
        yield token
        seen.append(token)
        fresh = [token]


def pick(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw a token by its logits, (V,), on the CPU."""
    if sampling.temperature == 0:
        return int(scores.argmax())
    ordered, tokens = (scores / sampling.temperature).sort(descending=True, stable=True)
    if sampling.top_k:
        ordered = ordered[: sampling.top_k]
    chances = ordered.softmax(0)
    # Nucleus sampling (Holtzman et al. 2020): the fewest tokens that together reach top_p.
    chances[(chances.cumsum(0) - chances) >= sampling.top_p] = 0
    return int(tokens[torch.multinomial(chances, 1, generator=generator)])


def distinct(tokens: Sequence[Sequence[int]], n: int) -> float:
    """Return the part of all ``n``-grams that are different ones (Li et al. 2016); 0 without any."""
    grams = [tuple(each[i : i + n]) for each in tokens for i in range(len(each) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(tokens: Sequence[Sequence[int]], n: int = 4) -> float:
    """Return the part of the ``n``-grams of a text that it had before, over all texts."""
    again = total = 0
    for each in tokens:
        grams = [tuple(each[i : i + n]) for i in range(len(each) - n + 1)]
        total += len(grams)
        again += len(grams) - len(set(grams))
    return again / total if total else 0.0
