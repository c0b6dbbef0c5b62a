"""Weight decay of the matrices alone, compared with torch's AdamW with two groups."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from metalassay.training import decay_groups


def made() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))


@pytest.mark.parametrize("groups", [decay_groups.ALL, decay_groups.MATRICES])
def test_the_weights_become_those_of_torchs_groups(groups: str) -> None:
    first = made()
    second = copy.deepcopy(first)
    ours = decay_groups.make(groups, first, 0.3, (0.9, 0.999))
    matrices = [p for p in second.parameters() if p.ndim > 1]
    others = [p for p in second.parameters() if p.ndim == 1]
    decays = 0.3 if groups == decay_groups.ALL else 0.0
    theirs = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": others, "weight_decay": decays}],
        lr=1e-2,
    )
    for step in range(10):
        ours.zero_grad()
        theirs.zero_grad()
        for model in (first, second):
            torch.manual_seed(step)
            model(torch.randn(8, 4)).square().sum().backward()
        ours.rate = 1e-2
        ours.step()
        theirs.step()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_groups_make_a_difference() -> None:
    weights = []
    for groups in (decay_groups.ALL, decay_groups.MATRICES):
        model = made()
        with torch.no_grad():
            model.get_parameter("1.weight").fill_(5.0)
        optimizer = decay_groups.make(groups, model, 0.5, (0.9, 0.999))
        optimizer.rate = 1e-1
        optimizer.step()  # no gradient, so the decay alone
        weights.append(model.get_parameter("1.weight").detach().clone())
    assert not torch.equal(*weights)
    assert torch.equal(weights[1], torch.full((8,), 5.0))
