"""The two-branch CNN: parameters, shapes, both views and dropout."""

from __future__ import annotations

import pytest
import torch

from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN, TwoBranchCNNConfig


@pytest.fixture(autouse=True)
def same_numbers_every_time() -> None:
    torch.manual_seed(0)


def test_the_cnn_has_42113_parameters() -> None:
    # global branch 256 + 5,152 + 10,304; local 192 + 3,104 + 6,208; norm 256; 16,512 + 129
    assert sum(parameter.numel() for parameter in TwoBranchCNN().parameters()) == 42_113


@pytest.mark.parametrize("batch", [1, 3])
def test_the_cnn_returns_one_logit_per_light_curve(batch: int) -> None:
    config = TwoBranchCNNConfig()
    views = torch.randn(batch, 1, config.global_bins), torch.randn(batch, 1, config.local_bins)
    assert TwoBranchCNN(config)(*views).shape == (batch, 1)


@pytest.mark.parametrize("view", [0, 1])
def test_the_cnn_uses_both_views(view: int) -> None:
    model = TwoBranchCNN().eval()
    views = [torch.randn(1, 1, 2001), torch.randn(1, 1, 201)]
    before = model(*views)
    views[view] = views[view] + 1
    assert not torch.equal(model(*views), before)


def test_the_cnn_uses_dropout_in_training_only() -> None:
    model = TwoBranchCNN()
    views = torch.randn(4, 1, 2001), torch.randn(4, 1, 201)
    assert not torch.equal(model(*views), model(*views))
    model.eval()
    assert torch.equal(model(*views), model(*views))
