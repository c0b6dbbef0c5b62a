"""transformers' Trainer beside an accelerate or a torch that it was not written for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch", "transformers"} <= versions.installed().keys():
    pytest.skip("accelerate, torch or transformers is not installed", allow_module_level=True)

from metalassay.testing.tiny_trainer import Rows, gpt2, trainer

pytestmark = pytest.mark.slow


@pytest.mark.bug("trainer-dispatch-batches-accelerate-1", symptom="refused")
def test_a_trainer_can_be_made_with_this_accelerate(upstream: str, tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    # transformers 4.31 and older have no use_cpu.
    Trainer(model=gpt2(), args=TrainingArguments(output_dir=str(tmp_path), report_to=[]))


@pytest.mark.bug("trainer-optimizer-train-accelerate-0-34", symptom="no-attribute")
def test_a_trainer_steps_an_optimizer_without_a_training_mode(
    upstream: str, tmp_path: Path
) -> None:
    training = trainer(tmp_path, Rows(4), max_steps=1, optim="adamw_torch")
    assert training.train().global_step == 1


@pytest.mark.bug("trainer-resume-rng-state-torch-2-6", symptom="unpickling")
def test_a_trainer_restores_the_random_states_of_its_checkpoint(
    upstream: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    trainer(tmp_path, Rows(8), **options).train()
    checkpoint = tmp_path / "checkpoint-1"
    assert (checkpoint / "rng_state.pth").exists()
    second = trainer(tmp_path, Rows(8), **options)
    assert second.train(resume_from_checkpoint=str(checkpoint)).global_step == 2


@pytest.mark.bug("trainer-compute-loss-num-items", symptom="refused")
def test_a_trainer_calls_a_compute_loss_with_the_arguments_of_old_tutorials(
    upstream: str, tmp_path: Path
) -> None:
    def compute_loss(_: Any, model: Any, inputs: Any, return_outputs: bool = False) -> Any:
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    training = trainer(tmp_path, Rows(4), max_steps=1)
    training.__class__ = type("MyTrainer", (type(training),), {"compute_loss": compute_loss})
    assert training.train().global_step == 1
