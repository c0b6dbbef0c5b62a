"""What changes from step to step goes into a checkpoint and comes out of it unchanged."""

from __future__ import annotations

import pytest
import torch
from tiny_training import CPU, Numbers, task

from metalassay.environment import versions
from metalassay.training.optimizer import FlatAdamW
from metalassay.training.train_state import TrainState, differences, with_prefix


def state() -> TrainState:
    trained = task()
    optimizer = FlatAdamW(trained.model, 0.1)
    return TrainState(trained.model, optimizer, torch.amp.GradScaler("cpu"), Numbers(), CPU)


def test_a_restored_state_equals_the_captured_one() -> None:
    first, second = state(), state()
    first.step = 3
    first.optimizer.gradients.fill_(0.5)
    first.optimizer.rate = 0.1
    first.optimizer.step()
    first.source.next()
    captured = first.capture({"width": 8})
    expected = torch.rand(3)
    second.restore(captured)
    assert torch.equal(torch.rand(3), expected)
    assert (second.step, second.source.position()) == (3, 1)
    assert second.optimizer.updates == 1
    again = second.capture({"width": 8})
    assert again.tensors.keys() == captured.tensors.keys()
    unequal = [
        name
        for name, tensor in captured.tensors.items()
        if not (name.startswith("random.") or torch.equal(tensor, again.tensors[name]))
    ]
    assert not unequal


def test_another_torch_or_number_of_threads_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = state().capture({})
    assert not list(differences(captured))
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    monkeypatch.setattr(versions, "installed", lambda names: {"torch": "9.9"})
    was = captured.state["versions"]["torch"]
    assert list(differences(captured)) == [
        f"torch was {was}, is 9.9",
        f"torch had {threads} threads, has {threads + 1}",
    ]


def test_a_prefix_selects_tensors_and_is_removed() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    assert with_prefix({"model.a": one, "optimizer.a": two}, "model.") == {"a": one}
