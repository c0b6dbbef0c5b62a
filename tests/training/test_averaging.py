"""The moving average of the weights: its numbers, that it is used and put back, and that it can be restored."""

from __future__ import annotations

import torch
from torch import nn

from metalassay.training.averaging import WeightAverage
from metalassay.training.optimizer import FlatAdamW


def made(decay: float = 0.9) -> tuple[nn.Linear, FlatAdamW, WeightAverage]:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = FlatAdamW(model, 0.0)
    return model, optimizer, WeightAverage(model, optimizer, decay)


def test_the_average_follows_its_formula() -> None:
    model, optimizer, average = made()
    expected = model.weight.detach().clone()
    for number in range(1, 30):
        with torch.no_grad():
            model.weight.add_(1.0)
        optimizer.updates = number
        average.update()
        decay = min(0.9, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.tensors()["weight"], expected)


def test_the_model_has_it_meanwhile_and_then_its_own_weights_again() -> None:
    model, _, average = made()
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    own = model.weight.detach().clone()
    with average.used():
        assert torch.equal(model.weight, first)
    assert torch.equal(model.weight, own)
    average.use()
    assert torch.equal(model.weight, first)


def test_it_is_restored() -> None:
    _, optimizer, average = made()
    optimizer.updates = 1
    with torch.no_grad():
        optimizer.weights.add_(2.0)
    average.update()
    kept = {name: tensor.clone() for name, tensor in average.tensors().items()}
    _, _, other = made()
    assert not torch.equal(other.tensors()["weight"], kept["weight"])
    other.load(kept)
    assert all(torch.equal(other.tensors()[name], tensor) for name, tensor in kept.items())
