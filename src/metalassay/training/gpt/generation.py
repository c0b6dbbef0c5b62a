"""Generate tokens with a ``TinyGPT``, and measure how varied they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metalassay.training.gpt.decoding import Decoder
from metalassay.workloads.models.tiny_gpt import TinyGPT

MIN_TEMPERATURE = 1e-30  # below, a logit divided by it may overflow float32


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    A ``temperature`` of 0, or below ``MIN_TEMPERATURE``, takes the likeliest token. ``top_k`` 0 and
    ``top_p`` 1 exclude no tokens.
    """

    temperature: float = 0.5
    top_k: int = 40
    top_p: float = 1.0
    seed: int = 0


def generate(
    model: TinyGPT, prompt: Sequence[int], most: int, sampling: Sampling, stop: int | None = None
) -> Iterator[int]:
    """Yield up to ``most`` tokens that follow ``prompt``, ending before the token ``stop``.

    When the context is full, its last half is read again and the rest is dropped. The model must be
    in evaluation mode. Raises ``ValueError`` for an empty prompt.
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
    """Draw a token from its logits ``scores``, (V,), on the CPU."""
    if sampling.temperature < MIN_TEMPERATURE:
        return int(scores.argmax())
    count = min(sampling.top_k or len(scores), len(scores))
    ordered, tokens = scores.topk(count)  # the likeliest first
    probabilities = (ordered / sampling.temperature).softmax(0)
    if sampling.top_p < 1:
        # Nucleus sampling (Holtzman et al. 2020): the fewest tokens that together reach top_p.
        excluded = (probabilities.cumsum(0) - probabilities) >= sampling.top_p
        excluded[0] = False  # a top_p below 1e-45 is 0 in float32 and would exclude all tokens
        probabilities[excluded] = 0
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])


def distinct(tokens: Sequence[Sequence[int]], n: int) -> float:
    """Return distinct-n: the share of different ``n``-grams in all texts (Li et al. 2016), or 0."""
    grams = [tuple(text[i : i + n]) for text in tokens for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(tokens: Sequence[Sequence[int]], n: int = 4) -> float:
    """Return the share of ``n``-grams that occurred earlier in the same text, over all texts."""
    repeated = total = 0
    for text in tokens:
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        total += len(grams)
        repeated += len(grams) - len(set(grams))
    return repeated / total if total else 0.0
