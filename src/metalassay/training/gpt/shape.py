"""The shape of a mini GPT: one of the three sizes or the user's own, its parameters and its memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from metalassay.errors import UserError
from metalassay.fields import Field, FieldError
from metalassay.training.gpt import cross_entropy
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPTConfig

SIZES: Mapping[str, TinyGPTConfig] = {
    "tiny": tiny_gpt.TINY,
    "small": tiny_gpt.SMALL,
    "original": tiny_gpt.ORIGINAL,
}
# Enough to memorise the dialogues in the package; see docs/training.md.
PEAK_RATES = {"tiny": 1e-2, "small": 1e-2, "original": 3e-3}
DEFAULT = "tiny"
# The option that sets each field.
FIELDS = {
    "layers": "layers",
    "heads": "heads",
    "width": "channels",
    "context": "context",
    "vocabulary": "vocabulary",
}
SMALLEST_VOCABULARY = 258  # 256 bytes, so that any text can be written, and the two markers
NUMBER = 4  # bytes of a float32
# Per token and channel, what one block keeps for its gradient: the inputs of both norms and both branches
# (4), query, key, value and the mixed values (4), and the perceptron's hidden layer before and after the
# gelu (8).
KEPT_BY_BLOCK = 16
KEPT_BY_NORM = 2  # the last norm's input and output
LOGITS = 3  # log-probabilities, their gradient and that of the logits, which exist at the same time


def of(size: str | None, own: Mapping[str, int | None]) -> tuple[str, TinyGPTConfig]:
    """Return the size and the shape for these options; an own value replaces that of the size.

    ``own`` has a value or None for each of ``FIELDS``. Raises ``UserError`` if they do not fit together.
    """
    name = size or DEFAULT
    changes = {FIELDS[option]: value for option, value in own.items() if value is not None}
    shape = dataclasses.replace(SIZES[name], **changes)
    if shape.channels % shape.heads:
        raise UserError(
            f"--width {shape.channels} cannot be split between --heads {shape.heads}",
            f"--width {_multiples(shape.channels, shape.heads)},"
            f" or --heads {_divisors(shape.channels, shape.heads)}",
        )
    if shape.vocabulary < SMALLEST_VOCABULARY:
        raise UserError(
            f"--vocabulary {shape.vocabulary} is too small: the 256 bytes and two markers are tokens",
            f"choose at least --vocabulary {SMALLEST_VOCABULARY}",
        )
    return name, shape


def _multiples(width: int, heads: int) -> str:
    below = width - width % heads
    return f"{below} or {below + heads}" if below else f"{heads}"


def _divisors(width: int, heads: int) -> str:
    fit = [number for number in range(1, min(width, 1024) + 1) if width % number == 0]
    near = [max(number for number in fit if number < heads or number == 1)]
    near += [number for number in fit if number > heads][:1]
    return " or ".join(str(number) for number in dict.fromkeys(near))


def stored(size: str, shape: TinyGPTConfig) -> dict[str, Any]:
    """Return the part of a run's configuration that ``of_run`` reads: an own shape has all its values."""
    if shape == SIZES[size]:
        return {"size": size}
    own = {option: getattr(shape, field) for option, field in FIELDS.items()}
    return {"size": size, "shape": own}


def of_run(config: Mapping[str, Any]) -> tuple[str, TinyGPTConfig]:
    """Return the size and the shape of a run from its configuration.

    Raises ``FieldError`` for a configuration that is not one of ours.
    """
    fields = Field(config)
    size = fields.get("size").one_of(SIZES)
    if "shape" not in config:
        return size, SIZES[size]
    own = {option: fields.get("shape").get(option).whole() for option in FIELDS}
    try:
        return of(size, own)
    except UserError as error:
        raise FieldError(f"shape: {error.message}") from None


def peak_rate(size: str, shape: TinyGPTConfig) -> float:
    """Return the peak learning rate: the size's, or for another width one by the width.

    Up to 160 channels that of the size whose width is not smaller; beyond, inversely proportional to the
    width, as Yang et al. 2022 (arXiv:2203.03466) derive for Adam: 6.3e-4 at 768, where GPT-3 has 6e-4.
    """
    if shape.channels == SIZES[size].channels:
        return PEAK_RATES[size]
    for name in ("small", "original"):
        if shape.channels <= SIZES[name].channels:
            return PEAK_RATES[name]
    return PEAK_RATES["original"] * SIZES["original"].channels / shape.channels


def parameters(shape: TinyGPTConfig) -> int:
    """Return the number of parameters; the embedding, which is also the output layer, counts once."""
    d = shape.channels
    return (shape.vocabulary + shape.context) * d + shape.layers * (12 * d * d + 13 * d) + 2 * d


def state_bytes(parameters: int) -> int:
    """Return the bytes of the weights, their gradients and AdamW's two moments, in float32."""
    return 4 * NUMBER * parameters


def activation_bytes(shape: TinyGPTConfig, batch: int, *, in_blocks: bool) -> int:
    """Return the bytes that a step keeps for the gradients of ``batch`` windows in float32, at its peak.

    The peak is where the backward pass begins: everything is kept and the logits exist three times, unless
    the loss is computed ``in_blocks``, which the CPU does in float32 (``cross_entropy``): then there is one
    block of them, and the gradient of the output layer. Attention is computed in blocks, so no matrix of T x T is kept.
    """
    tokens = batch * shape.context
    kept = shape.layers * KEPT_BY_BLOCK * shape.channels + KEPT_BY_NORM * shape.channels
    logits = LOGITS * tokens * shape.vocabulary * NUMBER
    if in_blocks:
        block = max(cross_entropy.BLOCK, shape.vocabulary * NUMBER)
        logits = min(block, tokens * shape.vocabulary * NUMBER)
        logits += NUMBER * shape.vocabulary * shape.channels
    return NUMBER * tokens * kept + logits


def step_bytes(shape: TinyGPTConfig, batch: int, *, in_blocks: bool) -> int:
    """Return the bytes that training takes at its peak, without what Python and torch take themselves."""
    return state_bytes(parameters(shape)) + activation_bytes(shape, batch, in_blocks=in_blocks)
