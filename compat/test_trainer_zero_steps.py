"""A training of zero steps ends as a success; metalassay.guard raises an error with the cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch", "transformers"} <= versions.installed().keys():
    pytest.skip("accelerate, torch or transformers is not installed", allow_module_level=True)

from metalassay import guard
from metalassay.patches import accelerate_empty_shard
from metalassay.testing.tiny_trainer import NO_DISPATCH, Rows, Stream, trainer

ZERO = "trainer-silent-zero-steps"

pytestmark = pytest.mark.slow


def drops_all(folder: Path, **arguments: Any) -> Any:
    return trainer(folder, Rows(1), max_steps=3, dataloader_drop_last=True, **arguments)


def yields_nothing(folder: Path, **arguments: Any) -> Any:
    return trainer(folder, Stream(0), max_steps=3, **NO_DISPATCH, **arguments)


def steps(training: Any) -> int:
    with accelerate_empty_shard.patch():  # the crash before accelerate 1.9.0 is another bug
        reached: int = training.train().global_step
    return reached


@pytest.mark.bug(ZERO, symptom="drop-last")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_whose_rows_are_all_dropped_is_not_a_success(
    upstream: str, tmp_path: Path, accumulation: int
) -> None:
    reached = steps(drops_all(tmp_path, gradient_accumulation_steps=accumulation))
    assert reached > 0, "the training ended as a success with 0 steps"


@pytest.mark.bug(ZERO, symptom="iterable")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_on_a_stream_that_yields_nothing_is_not_a_success(
    upstream: str, tmp_path: Path, accumulation: int
) -> None:
    reached = steps(yields_nothing(tmp_path, gradient_accumulation_steps=accumulation))
    assert reached > 0, "the training ended as a success with 0 steps"


CAUSES = [
    pytest.param(drops_all, "1 row, one batch needs 2, and drop_last drops", id="drop-last"),
    pytest.param(yields_nothing, "the dataset is an iterable, and it yielded nothing", id="stream"),
]


@pytest.mark.bug(ZERO)
@pytest.mark.parametrize(("make", "cause"), CAUSES)
def test_the_context_manager_names_the_cause(
    upstream: str, tmp_path: Path, make: Callable[..., Any], cause: str
) -> None:
    training = make(tmp_path)
    with guard.no_zero_steps(), pytest.raises(guard.ZeroStepsError, match=cause):
        training.train()


@pytest.mark.bug(ZERO)
@pytest.mark.parametrize(("make", "cause"), CAUSES)
def test_the_callback_names_the_cause(
    upstream: str, tmp_path: Path, make: Callable[..., Any], cause: str
) -> None:
    with pytest.raises(guard.ZeroStepsError, match=cause):
        steps(make(tmp_path, callbacks=[guard.callback()]))


@pytest.mark.bug(ZERO)
def test_a_training_with_steps_passes_the_guard(upstream: str, tmp_path: Path) -> None:
    with guard.no_zero_steps():
        assert trainer(tmp_path, Rows(8), max_steps=2).train().global_step == 2
