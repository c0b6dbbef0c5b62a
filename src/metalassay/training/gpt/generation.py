"""Text from a ``TinyGPT``: how the next token is drawn, and how varied what comes out is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metalassay.training.gpt.decoding import Decoder
from metalassay.workloads.models.tiny_gpt import TinyGPT

COLDEST = 1e-30  # of temperatures; below, a logit divided by it may be infinite in float32


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. ``temperature`` 0, or one below ``COLDEST``, takes the likeliest;
    ``top_k`` 0 and ``top_p`` 1 leave all of them in.
    """

    temperature: float = 0.5
    top_k: int = 40
    top_p: float = 1.0
    seed: int = 0


def generate(
    model: TinyGPT, prompt: Sequence[int], most: int, sampling: Sampling, stop: int | None = None
) -> Iterator[int]:
    """Yield up to ``most`` tokens that follow ``prompt``, ending before the token ``stop``.

    Where the context is full, the last half of it is read again and the rest forgotten. The model
    has to be in evaluation mode. Raises ``ValueError`` for an empty prompt.
    """
    if not prompt:
        raise ValueError("an empty prompt has no next token")
    decoder, seen = Decoder(model), list(prompt)
    generator = torch.Generator().manual_seed(sampling.seed)
    fresh = seen[-decoder.context :]
    for _ in range(most):
        if decoder.length + len(fresh) > decoder.context:
            decoder.length, fresh = 0, seen[-max(decoder.context // 2, 1) :]
        token = pick(decoder.read(fresh).float().cpu(), sampling, generator)
        if token == stop:
            return
        yield token
        seen.append(token)
        fresh = [token]


def pick(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw a token by its logits, (V,), on the CPU."""
    if sampling.temperature < COLDEST:
        return int(scores.argmax())
    many = min(sampling.top_k or len(scores), len(scores))
    ordered, tokens = scores.topk(many)  # from the likeliest down
    chances = (ordered / sampling.temperature).softmax(0)
    if sampling.top_p < 1:
        # Nucleus sampling (Holtzman et al. 2020): the fewest tokens that together reach top_p.
        beyond = (chances.cumsum(0) - chances) >= sampling.top_p
        beyond[0] = False  # in float32 a top_p below 1e-45 is 0, and the likeliest would go as well
        chances[beyond] = 0
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
