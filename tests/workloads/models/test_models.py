from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN, TwoBranchCNNConfig


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(0)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_cnn_has_42113_parameters() -> None:
    # global branch 256 + 5,152 + 10,304; local 192 + 3,104 + 6,208; norm 256; 16,512 + 129
    assert parameters(TwoBranchCNN()) == 42_113


@pytest.mark.parametrize("batch", [1, 3])
def test_the_cnn_gives_one_logit_a_light_curve(batch: int) -> None:
    config = TwoBranchCNNConfig()
    views = torch.randn(batch, 1, config.global_bins), torch.randn(batch, 1, config.local_bins)
    assert TwoBranchCNN(config)(*views).shape == (batch, 1)


@pytest.mark.parametrize("view", [0, 1])
def test_the_cnn_looks_at_both_views(view: int) -> None:
    model = TwoBranchCNN().eval()
    views = [torch.randn(1, 1, 2001), torch.randn(1, 1, 201)]
    before = model(*views)
    views[view] = views[view] + 1
    assert not torch.equal(model(*views), before)


def test_the_cnn_drops_out_in_training_only() -> None:
    model = TwoBranchCNN()
    views = torch.randn(4, 1, 2001), torch.randn(4, 1, 201)
    assert not torch.equal(model(*views), model(*views))
    model.eval()
    assert torch.equal(model(*views), model(*views))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # V d + T d + L (12 d^2 + 13 d) + 2 d
        pytest.param(tiny_gpt.TINY, 13_568, id="tiny"),
        pytest.param(tiny_gpt.SMALL, 65_568, id="small"),
        pytest.param(tiny_gpt.ORIGINAL, 2_526_240, id="original"),
    ],
)
def test_a_gpt_has_its_parameters_and_starts_out_knowing_nothing(
    config: TinyGPTConfig, expected: int
) -> None:
    model = TinyGPT(config)
    assert parameters(model) == expected
    tokens = torch.randint(config.vocabulary, (2, config.context + 1))
    logits = model(tokens[:, :-1])
    assert logits.shape == (2, config.context, config.vocabulary)
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(config.vocabulary), rel=0.01)


def test_a_gpt_does_not_see_the_future() -> None:
    model = TinyGPT(tiny_gpt.TINY)
    tokens = torch.randint(tiny_gpt.TINY.vocabulary, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (tokens[0, 6] + 1) % tiny_gpt.TINY.vocabulary
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:6], after[:6])
    assert not torch.isclose(before[6:], after[6:]).all(dim=1).any()  # and it does see the past


def test_a_gpt_knows_where_a_token_stands() -> None:
    first, second = TinyGPT(tiny_gpt.TINY)(torch.tensor([[7, 7]]))[0]
    assert not torch.allclose(first, second)
