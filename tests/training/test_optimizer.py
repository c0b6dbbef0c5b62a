"""The optimiser and the schedule give the same numbers as torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metalassay.training.optimizer import FlatAdamW, OneCycle


def model() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def test_the_schedule_equals_torchs_one_cycle() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=50, pct_start=0.1, div_factor=25, final_div_factor=1000
    )
    ours = OneCycle(5e-3, 50, momenta=(0.85, 0.95))
    assert OneCycle(5e-3, 50).momentum(3) is None
    for step in range(50):
        assert ours.rate(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        assert ours.momentum(step) == pytest.approx(optimizer.param_groups[0]["betas"][0], rel=1e-9)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("fused", [True, False])
def test_the_flat_optimiser_equals_torchs_adamw_with_clipping(fused: bool) -> None:
    models = [model(), model()]
    ours = FlatAdamW(models[0], weight_decay=0.1)
    assert ours._fused
    ours._fused = fused  # False: as on a GPU
    theirs = torch.optim.AdamW(models[1].parameters(), lr=1e-2, weight_decay=0.1)
    for step in range(20):
        ours.zero_grad()
        theirs.zero_grad()
        for each in models:
            torch.manual_seed(step)
            x = torch.randn(8, 4)
            (each(x) ** 2).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(models[1].parameters(), 1.0)
        assert ours.clip(1.0).item() == pytest.approx(norm.item(), rel=1e-5)
        ours.rate = 1e-2
        ours.step()
        theirs.step()
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(one, other)
