"""transformers' Trainer on an empty dataset: it must report this, not crash in accelerate's loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.environment import versions

if not {"accelerate", "torch", "transformers"} <= versions.installed().keys():
    pytest.skip("accelerate, torch or transformers is not installed", allow_module_level=True)

from metalassay.testing.tiny_trainer import NO_DISPATCH, Rows, Stream, trainer

EMPTY = "accelerate-empty-shard"
# Most tests of this bug of accelerate's need no Trainer, so its data cannot list these masks.
MASKS = [
    mask
    for mask in (
        "transformers4-needs-hub-below-1",
        "transformers5-needs-get-module-size",
        "peft-hybridcache-transformers5",
        "peft-clear-device-cache-accelerate",
        "trainer-dispatch-batches-accelerate-1",
        "trainer-optimizer-train-accelerate-0-34",
        "trainer-needs-accelerate-1-3",
    )
    if bugs.get(mask).hits(versions.installed())
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MASKS), reason=f"masked by {', '.join(MASKS)}, which fails first"),
]


def train_on_nothing(folder: Path, **arguments: int) -> None:
    """Train on an iterable dataset that yields nothing; an error that mentions the data is correct too."""
    try:
        trainer(folder, Stream(0), max_steps=2, **NO_DISPATCH, **arguments).train()
    except ValueError as error:
        if "data" not in str(error).lower():
            raise


@pytest.mark.bug(EMPTY, symptom="trainer-accumulating")
def test_a_trainer_that_accumulates_survives_an_empty_stream(upstream: str, tmp_path: Path) -> None:
    train_on_nothing(tmp_path, gradient_accumulation_steps=2)


@pytest.mark.bug(EMPTY, symptom="trainer-one-batch")
def test_a_trainer_survives_an_empty_stream(upstream: str, tmp_path: Path) -> None:
    train_on_nothing(tmp_path, gradient_accumulation_steps=1)


@pytest.mark.bug(EMPTY, symptom="trainer-evaluate")
@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_a_trainer_evaluates_an_empty_dataset(upstream: str, tmp_path: Path, method: str) -> None:
    getattr(trainer(tmp_path, Rows(2), max_steps=1), method)(Rows(0))


@pytest.mark.bug(EMPTY)
def test_a_trainer_with_data_trains_and_evaluates(upstream: str, tmp_path: Path) -> None:
    full = trainer(tmp_path, Stream(4), max_steps=2, gradient_accumulation_steps=2, **NO_DISPATCH)
    assert full.train().global_step == 2
    assert "eval_loss" in full.evaluate(Rows(3))
