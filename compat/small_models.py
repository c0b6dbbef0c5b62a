"""A convolution block and an attention block that stand for our CNN and our GPT, small enough to be compiled in seconds.

Every parameter and every input is a number that bfloat16 holds exactly, and so do float16 and float32: all dtypes
begin with the same numbers, and one pass in float64 is the reference of all of them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metalassay.workloads.models.tiny_gpt import Attention, TinyGPTConfig
from metalassay.workloads.models.two_branch_cnn import branch

UNIT = {
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}
"""The largest relative error of one rounding to a dtype."""
ROUNDINGS = 16
"""No number passes more operations than this, forward and back, and each rounds its result once.

Attention has the most: norm, queries, scores, softmax, mixing, projection and sum, each forward and back, and the loss.
"""
METAL = 1e-4  # relative; Metal's fast mathematics is worse than a rounding to float32
REFUSALS = (
    "not implemented for 'Half'",
    "not supported on Python",
    "BFloat16 is not supported",
    "UNPACK_SEQUENCE ListIteratorVariable()",  # torch 2.1, which cannot compile the attention block
)
"""What a torch says that is too old for a dtype, for a block, for this Python, or for this macOS."""


@dataclass(frozen=True)
class Sizes:
    """How large a block and its batch are; the defaults are those of the tests."""

    batch: int = 2
    channels: int = 4
    length: int = 32


class Convolution(nn.Module):
    """The first layer of a branch of our CNN, and its head: (B, 1, bins) -> (B, 1)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layer = branch(sizes.channels, (7, 5, 5))[:3]  # convolution, relu, max-pooling
        self.norm = nn.LayerNorm(sizes.channels)
        self.head = nn.Linear(sizes.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit for each curve."""
        logits: Tensor = self.head(self.norm(self.layer(x).mean(dim=2)))
        return logits


class SelfAttention(nn.Module):
    """The attention half of a block of our GPT, with its norm and its residual: (B, T, d) -> (B, T, d)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        config = TinyGPTConfig(1, sizes.length, 1, 2, 4 * sizes.channels)
        self.norm = nn.LayerNorm(config.channels)
        self.attention = Attention(config)

    def forward(self, x: Tensor) -> Tensor:
        """Add what each position takes from itself and the earlier ones."""
        mixed: Tensor = x + self.attention(self.norm(x))
        return mixed


BLOCKS: Mapping[str, type[Convolution] | type[SelfAttention]] = {
    "convolution": Convolution,
    "attention": SelfAttention,
}


class Task(nn.Module):
    """A block with its loss, the sum of squares, whose gradients float16 does not lose as it would those of a mean."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the loss, which has the dtype of ``target``."""
        output: Tensor = self.block(x)
        return output, ((output.to(target.dtype) - target) ** 2).sum()


def task(name: str, sizes: Sizes | None = None) -> tuple[Task, Tensor, Tensor]:
    """Return a block with its loss, an input and a target, all in float64, always the same.

    Of the tests' sizes it is the first seed whose max-pooling is decided: where two neighbours are as large, a
    rounding chooses between them, and the gradient goes to another place, by more than any rounding explains.
    """
    sizes = sizes or Sizes()
    return _task(name, sizes, _decided() if (name, sizes) == ("convolution", Sizes()) else 0)


@functools.cache
def _decided() -> int:
    for seed in range(20_000):
        if is_decided(*_task("convolution", Sizes(), seed)[:2]):
            return seed
    raise AssertionError("no seed has a max-pooling that is decided")


@torch.no_grad()
def _task(name: str, sizes: Sizes, seed: int) -> tuple[Task, Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made = Task(BLOCKS[name](sizes)).double()
        if name == "convolution":
            x = torch.randn(sizes.batch, 1, sizes.length)
            target = torch.randn(sizes.batch, 1)
        else:
            x = torch.randn(sizes.batch, sizes.length, 4 * sizes.channels)
            target = torch.randn_like(x)
    for each in made.parameters():
        each.copy_(each.bfloat16())
    return made, x.bfloat16().double(), target.bfloat16().double()


@torch.no_grad()
def is_decided(made: Task, x: Tensor) -> bool:
    """Return whether no rounding to bfloat16 changes what relu and max-pooling let through."""
    assert isinstance(made.block, Convolution)
    values = next(iter(made.block.layer.children()))(x)
    pairs = values.reshape(*values.shape[:2], -1, 2)
    best = pairs.amax(dim=-1)
    apart = (pairs[..., 0] - pairs[..., 1]).abs() > 4 * UNIT[torch.bfloat16] * best.abs()
    passes = best.abs() > 2 * UNIT[torch.bfloat16] * values.abs().amax()
    return bool((passes & (apart | (best < 0))).all())


def results(
    name: str,
    dtype: torch.dtype,
    *,
    autocast: bool = False,
    compiled: bool = False,
    device: str = "cpu",
) -> dict[str, Tensor]:
    """Return the output, the loss and every gradient of one pass, as they are, on the CPU.

    With ``autocast``, parameters and input are float32, and ``dtype`` is that of autocast.
    """
    made, x, target = task(name)
    kept = torch.float32 if autocast else dtype
    made = made.to(kept).to(device)
    # MPS has no float64, so the dtype changes before the device.
    x, target = x.to(kept).to(device), target.to(wide(dtype)).to(device)
    run: Any = torch.compile(made, fullgraph=True) if compiled else made
    with torch.autocast(device, dtype) if autocast else contextlib.nullcontext():
        output, loss = run(x, target)
    loss.backward()
    found = {"the output": output, "the loss": loss}
    for parameter, value in made.named_parameters():
        assert value.grad is not None, f"{parameter} has no gradient"
        found[f"the gradient of {parameter.removeprefix('block.')}"] = value.grad
    return {what: value.detach().cpu() for what, value in found.items()}


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the loss: float32, as in a training in 16 bits, or float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@functools.cache
def exact(name: str) -> Mapping[str, Tensor]:
    """Return the results in float64, on the CPU."""
    return results(name, torch.float64)


def errors(found: Mapping[str, Tensor], best: Mapping[str, Tensor]) -> Iterator[tuple[str, float]]:
    """Yield what each result is, and its error: the length of the difference over that of the best.

    A gradient whose terms cancel is judged by a tenth of the longest gradient, for roundings are relative to the terms.
    """
    assert found.keys() == best.keys()
    lengths = {what: float(value.double().norm()) for what, value in best.items()}
    least = 0.1 * max(length for what, length in lengths.items() if "gradient" in what)
    for what, value in best.items():
        other = found[what]
        assert other.shape == value.shape, f"{what} has another shape"
        distance = float((other.double() - value.double()).norm())
        floor = least if "gradient" in what else 0.0
        # A number that is not one makes the distance NaN, which is below no limit.
        yield what, distance / max(lengths[what], floor)


def limit(dtype: torch.dtype, device: str = "cpu") -> float:
    """Return the largest error that rounding to a dtype explains."""
    explained = ROUNDINGS * UNIT[dtype]
    return explained if device == "cpu" else max(explained, METAL)
