"""The schedules of the learning rate: transformers' own numbers, and one cycle as before."""

from __future__ import annotations

import pytest
import torch

from metalassay.training import schedules
from metalassay.training.optimizer import OneCycle


@pytest.mark.parametrize(
    ("name", "theirs"), [("cosine", "cosine"), ("constant", "constant_with_warmup")]
)
@pytest.mark.parametrize("rise", [0, 5, 30])
def test_the_rates_are_those_of_transformers(name: str, theirs: str, rise: int) -> None:
    transformers = pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2e-3)
    schedule = transformers.get_scheduler(
        theirs, optimizer, num_warmup_steps=rise, num_training_steps=40
    )
    ours = schedules.make(name, 2e-3, 40, float(rise) if rise else 1e-9, None)
    for step in range(40):
        assert ours.rate(step) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        assert ours.momentum(step) is None
        optimizer.step()
        schedule.step()


def test_one_cycle_is_the_default_with_its_momenta() -> None:
    assert schedules.make("one-cycle", 1e-3, 50, 0.1, (0.85, 0.95)) == OneCycle(
        1e-3, 50, 0.1, momenta=(0.85, 0.95)
    )
    assert schedules.make("one-cycle", 1e-3, 50, 10, None) == OneCycle(1e-3, 50, 0.2)


@pytest.mark.parametrize(("warm_up", "rise"), [(0.1, 10), (0.5, 50), (1, 1), (30, 30)])
def test_a_warm_up_is_a_share_or_a_number_of_steps(warm_up: float, rise: float) -> None:
    assert schedules.rising_steps(100, warm_up) == rise
