"""What a training with TRL costs: which time and which tokens count."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metalassay.training.rlhf.meter import Meter

CPU = torch.device("cpu")


class Backbone(torch.nn.Module):
    """What a model of transformers has below its head."""

    def forward(self, input_ids: Any = None, attention_mask: Any = None) -> None:
        """Compute nothing."""


class Model:
    """As much of a model of transformers as the meter looks at."""

    def __init__(self) -> None:
        self.base_model = Backbone()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def step(meter: Meter, model: Model, clock: list[float], seconds: float, tokens: int) -> None:
    ids = torch.zeros(1, tokens + 2, dtype=torch.long)
    mask = torch.tensor([[0, 0] + [1] * tokens])
    model.base_model(input_ids=ids, attention_mask=mask)
    with torch.no_grad():  # generation, and scoring
        model.base_model(input_ids=ids, attention_mask=mask)
    clock[0] += seconds
    meter.end_step()


def test_the_first_step_warms_up_and_padding_is_no_token(clock: list[float]) -> None:
    model = Model()
    meter = Meter(CPU, model)
    meter.begin()
    step(meter, model, clock, 100.0, 1000)
    assert meter.figures()["steps_per_second"] is None
    step(meter, model, clock, 0.5, 8)
    step(meter, model, clock, 0.5, 12)
    assert meter.figures()["steps_per_second"] == 2
    assert meter.figures()["tokens_per_second"] == 20
    assert meter.figures()["timed_steps"] == 2


def test_saving_is_not_in_a_step(clock: list[float]) -> None:
    model = Model()
    meter = Meter(CPU, model)
    meter.begin()
    step(meter, model, clock, 1.0, 4)
    clock[0] += 50.0  # a checkpoint
    meter.begin()
    step(meter, model, clock, 1.0, 4)
    assert meter.figures()["steps_per_second"] == 1


def test_without_a_mask_all_tokens_count(clock: list[float]) -> None:
    model = Model()
    meter = Meter(CPU, model)
    meter.begin()
    for _ in range(2):
        model.base_model(torch.zeros(2, 5, dtype=torch.long))
        clock[0] += 1.0
        meter.end_step()
    assert meter.figures()["tokens_per_second"] == 10
    meter.close()
    model.base_model(torch.zeros(2, 5, dtype=torch.long))
    assert not meter._tokens
