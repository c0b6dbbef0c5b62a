"""A training that takes a step when it is asked to: whose turn it is, what it counts, and how it ends."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from metalassay.errors import UserError
from metalassay.training.rlhf import stage, steps
from metalassay.training.rlhf.steps import Steps

CPU = torch.device("cpu")


class Model(torch.nn.Module):
    """A weight, and what a model of transformers has below its head."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = torch.nn.Linear(4, 4, bias=False)
        torch.nn.init.ones_(self.base_model.weight)


class Loop:
    """A trainer's loop as ``stage.Loop`` has it: it takes steps until it is told otherwise."""

    step: Callable[[Model], None]
    seen: list[str]

    def __init__(self, plan: Any, folder: Path, where: torch.device, meter_of: Any) -> None:
        self.model = Model()
        self.meter = meter_of(self.model)
        self.judge = SimpleNamespace(
            figures=lambda model: {
                "answer_loss": float(model.base_model.weight.sum()),
                "loss": float(model.base_model.weight.sum()),
            },
            made=[],
        )

    def run(self) -> int:
        """Take steps for ever, and note in which thread."""
        try:
            self.meter.begin()
            while True:
                type(self).step(self.model)
                self.seen.append(threading.current_thread().name)
                self.meter.end_step()
        finally:
            self.seen.append("end")


def lower(model: Model) -> None:
    ids = torch.zeros(1, 4)
    model.base_model(ids)  # with gradients: four numbers count as tokens
    with torch.no_grad():
        model.base_model.weight.sub_(0.1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(stage, "Loop", Loop)
    Loop.step, Loop.seen = staticmethod(lower), []
    return Loop.seen


@pytest.fixture
def training(seen: list[str], tmp_path: Path) -> Iterator[Steps]:
    one = Steps("sft", 8, CPU, tmp_path)
    yield one
    one.close()


def test_a_step_is_taken_when_it_is_wanted_and_not_before(training: Steps, seen: list[str]) -> None:
    assert seen == []
    training()
    assert seen == ["train sft"]
    training()
    training()
    assert seen == ["train sft"] * 3
    training.close()
    assert seen[3:] == ["end"]


def test_what_fails_in_the_loop_is_raised_at_the_step_and_at_each_one_after(
    training: Steps,
) -> None:
    def fail(model: Model) -> None:
        raise ValueError("no kernel")

    training()
    Loop.step = staticmethod(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no kernel"):
            training()


def test_a_loop_that_fails_before_its_first_step_fails_at_once(
    seen: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(self: Loop) -> int:
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(Loop, "run", broken)
    with pytest.raises(TypeError, match="unexpected keyword"):
        Steps("sft", 8, CPU, tmp_path)


def test_a_loop_that_ends_by_itself_is_an_error(
    seen: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: 0)
    with pytest.raises(RuntimeError, match="ended by itself"):
        Steps("sft", 8, CPU, tmp_path)


def test_one_step_is_counted_in_the_thread_that_takes_it(training: Steps) -> None:
    counts = training.count()
    assert counts.flop == 2 * 1 * 4 * 4  # the product of a vector and a matrix, once
    assert counts.bytes > 0
    assert training.count() == counts


def test_a_context_is_left_before_the_step_is_over(training: Steps) -> None:
    entered: list[str] = []

    @contextlib.contextmanager
    def noting() -> Iterator[None]:
        entered.append(threading.current_thread().name)
        yield
        entered.append("left")

    training.take(noting())
    assert entered == ["train sft", "left"]


def test_tokens_are_those_of_the_steps_but_the_first(training: Steps) -> None:
    training()
    assert training.tokens_per_step is None
    training()
    assert training.tokens_per_step == 4


def test_the_check_wants_weights_that_moved_to_finite_ones_and_a_better_figure(
    training: Steps,
) -> None:
    with pytest.raises(AssertionError, match="moved no weight"):
        training.check()
    training()
    training.check()


def test_the_check_fails_where_nothing_is_learnt(training: Steps) -> None:
    def raise_it(model: Model) -> None:
        with torch.no_grad():
            model.base_model.weight.add_(0.1)

    Loop.step = staticmethod(raise_it)
    training()
    with pytest.raises(AssertionError, match="sft did not learn in 200 steps: answer_loss 16 ->"):
        training.check()


def test_the_check_fails_for_numbers_that_are_none(training: Steps) -> None:
    def spoil(model: Model) -> None:
        with torch.no_grad():
            model.base_model.weight[0, 0] = float("nan")

    Loop.step = staticmethod(spoil)
    training()
    with pytest.raises(AssertionError, match="not finite"):
        training.check()


def test_a_workload_says_what_is_timed(training: Steps) -> None:
    versions = {"accelerate": "1.8.0", "transformers": "4.52.4", "trl": "0.18.2"}
    one = steps.workload(training, versions)
    assert (one.name, one.mode, one.unit, one.items_per_call) == ("rlhf-sft", "train", "samples", 8)
    assert one.parameters == 16
    other = steps.workload(training, {**versions, "trl": "0.19.0"})
    assert other.identity != one.identity


def test_grpo_takes_whole_groups_of_answers() -> None:
    steps.require_batch("grpo", 8)
    steps.require_batch("sft", 6)
    with pytest.raises(UserError, match="no multiple") as refused:
        steps.require_batch("grpo", 6)
    assert refused.value.next_step == "--batch-size 4"


def test_the_model_can_be_copied_as_a_reference_while_steps_are_taken(training: Steps) -> None:
    training()
    reference = copy.deepcopy(training._loop.model)
    training()
    assert not torch.equal(reference.base_model.weight, training._loop.model.base_model.weight)
