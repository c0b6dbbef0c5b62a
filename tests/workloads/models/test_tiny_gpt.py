"""The tiny GPT: parameters, shapes, causality and positions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(0)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # V d + T d + L (12 d^2 + 13 d) + 2 d
        pytest.param(tiny_gpt.TINY, 13_568, id="tiny"),
        pytest.param(tiny_gpt.SMALL, 65_568, id="small"),
        pytest.param(tiny_gpt.ORIGINAL, 2_526_240, id="original"),
    ],
)
def test_a_gpt_has_its_parameters_and_starts_at_the_loss_of_guessing(
    config: TinyGPTConfig, expected: int
) -> None:
    model = TinyGPT(config)
    assert parameters(model) == expected
    tokens = torch.randint(config.vocabulary, (2, config.context + 1))
    logits = model(tokens[:, :-1])
    assert logits.shape == (2, config.context, config.vocabulary)
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(config.vocabulary), rel=0.01)


def test_a_gpt_attends_only_to_earlier_positions() -> None:
    model = TinyGPT(tiny_gpt.TINY)
    tokens = torch.randint(tiny_gpt.TINY.vocabulary, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (tokens[0, 6] + 1) % tiny_gpt.TINY.vocabulary
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:6], after[:6])
    assert not torch.isclose(before[6:], after[6:]).all(dim=1).any()  # and it does see the past


def test_a_gpt_distinguishes_positions() -> None:
    first, second = TinyGPT(tiny_gpt.TINY)(torch.tensor([[7, 7]]))[0]
    assert not torch.allclose(first, second)
