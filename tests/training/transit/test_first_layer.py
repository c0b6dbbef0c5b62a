"""The first layer's convolution: torch's values, and its gradients to rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from metalassay.training.transit import first_layer
from metalassay.training.transit.first_layer import FirstLayer
from metalassay.workloads.models.astronet import AstroNet
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN


def pair(taps: int, channels: int = 8) -> tuple[nn.Conv1d, nn.Conv1d]:
    """Return torch's layer and ours with the same weights."""
    torch.manual_seed(taps)
    theirs = nn.Conv1d(1, channels, taps, padding=taps // 2)
    ours = copy.deepcopy(nn.Sequential(theirs))
    first_layer.replace_convolutions(ours)
    (layer,) = ours
    assert isinstance(layer, FirstLayer)
    return theirs, layer


@pytest.mark.parametrize(("batch", "length", "taps"), [(4, 2001, 7), (3, 201, 5), (1, 8, 1)])
def test_values_equal_torchs_and_gradients_agree(batch: int, length: int, taps: int) -> None:
    theirs, ours = pair(taps)
    x = torch.randn(batch, 1, length)
    expected, got = theirs(x), ours(x)
    assert torch.equal(expected, got)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (got * weights).sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)
    exact = copy.deepcopy(theirs).double()
    exact.zero_grad()
    (exact(x.double()) * weights.double()).sum().backward()
    for mine, truth in zip(ours.parameters(), exact.parameters(), strict=True):
        assert mine.grad is not None
        assert truth.grad is not None
        torch.testing.assert_close(mine.grad.double(), truth.grad, rtol=1e-4, atol=1e-4)


def test_torchs_own_runs_where_a_gradient_of_the_input_is_needed() -> None:
    theirs, ours = pair(5)
    x = torch.randn(2, 1, 40, requires_grad=True)
    (expected,) = torch.autograd.grad(theirs(x).square().sum(), x)
    (got,) = torch.autograd.grad(ours(x).square().sum(), x)
    assert torch.equal(expected, got)


def test_half_precision_is_torchs_own() -> None:
    theirs, ours = pair(5)
    x = torch.randn(2, 1, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, got = theirs(x), ours(x)
    assert got.dtype == torch.bfloat16
    assert torch.equal(expected, got)
    got.float().sum().backward()
    expected.float().sum().backward()
    assert ours.weight.grad is not None
    assert theirs.weight.grad is not None
    assert torch.equal(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(1, 4, 5),
        nn.Conv1d(1, 4, 4, padding=2),
        nn.Conv1d(2, 4, 5, padding=2),
        nn.Conv1d(1, 4, 5, padding=2, stride=2),
        nn.Conv1d(1, 4, 5, padding=2, bias=False),
        nn.Conv1d(1, 4, 5, padding=2, padding_mode="circular"),
        nn.Conv1d(1, 4, 5, padding=2, dilation=2),
        nn.Conv1d(1, 4, 5, padding="same"),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Conv1d) -> None:
    first_layer.replace_convolutions(nn.Sequential(layer))
    assert type(layer) is nn.Conv1d


@pytest.mark.parametrize("model", [TwoBranchCNN(), AstroNet()])
def test_both_branches_are_changed_and_the_weights_keep_their_names(model: nn.Module) -> None:
    names = list(model.state_dict())
    first_layer.replace_convolutions(model)
    assert list(model.state_dict()) == names
    assert sum(isinstance(module, FirstLayer) for module in model.modules()) == 2
