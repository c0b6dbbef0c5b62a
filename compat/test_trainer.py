"""transformers' Trainer: steps, epochs, resuming. Each test asserts the correct behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch", "transformers"} <= versions.installed().keys():
    pytest.skip("accelerate, torch or transformers is not installed", allow_module_level=True)

from metalassay.patches import accelerate_empty_shard
from metalassay.testing.tiny_trainer import NO_DISPATCH, Rows, Stream, trainer

pytestmark = pytest.mark.slow


@pytest.mark.bug("trainer-needs-accelerate-1-3", symptom="keep-torch-compile")
def test_a_trainer_takes_a_step(upstream: str, tmp_path: Path) -> None:
    assert trainer(tmp_path, Rows(4), max_steps=1).train().global_step == 1


@pytest.mark.bug("trainer-drop-last-misleading-max-steps", symptom="asks-for-max-steps")
def test_an_error_about_a_loader_of_length_zero_names_the_data(
    upstream: str, tmp_path: Path
) -> None:
    one_row = trainer(tmp_path, Rows(1), dataloader_drop_last=True, num_train_epochs=1)
    assert len(one_row.get_train_dataloader()) == 0
    message = ""
    try:
        with accelerate_empty_shard.patch():  # otherwise transformers < 4.49 crashes in accelerate
            one_row.train()
    except ValueError as error:
        message = str(error)
    assert "does not have a length" not in message, f"misleading: {message}"


@pytest.mark.bug("trainer-best-model-empty-eval", symptom="metric-not-found")
def test_the_best_model_of_an_empty_evaluation_raises_no_key_error(
    upstream: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps"}
    empty = trainer(
        tmp_path,
        Rows(4),
        eval_dataset=Rows(0),
        max_steps=1,
        save_steps=1,
        load_best_model_at_end=True,
        **options,
    )
    try:
        with accelerate_empty_shard.patch():  # evaluating nothing crashes before accelerate 1.9.0
            empty.train()
    except ValueError as error:  # an error that mentions the data is correct
        if "data" not in str(error):
            raise


@pytest.mark.bug("trainer-resume-needs-torch-2-6", symptom="refused")
def test_a_trainer_resumes_from_its_checkpoint(upstream: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    trainer(tmp_path, Rows(8), **options).train()
    checkpoint = tmp_path / "checkpoint-1"
    (checkpoint / "rng_state.pth").unlink()  # whether it loads depends on numpy's version too
    second = trainer(tmp_path, Rows(8), **options)
    assert second.train(resume_from_checkpoint=str(checkpoint)).global_step == 2


@pytest.mark.bug("trainer-iterable-resume-stops-early", symptom="too-few-steps")
def test_resuming_over_several_passes_reaches_max_steps(upstream: str, tmp_path: Path) -> None:
    from transformers import TrainerCallback

    def stop_at_5(_: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        control.should_save = control.should_training_stop = state.global_step == 5

    stopper = type("StopAt5", (TrainerCallback,), {"on_step_end": stop_at_5})
    # There are two batches per pass, so step 5 is in the third pass.
    trainer(tmp_path, Stream(4), callbacks=[stopper()], max_steps=8, **NO_DISPATCH).train()
    second = trainer(tmp_path, Stream(4), max_steps=8, **NO_DISPATCH)
    reached = second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5")).global_step
    assert reached == 8, f"the resumed training stopped at step {reached} of 8"


def first_log(folder: Path, batch_size: int, accumulation: int) -> tuple[float, float]:
    """Return the loss and gradient norm that the first step over the same eight rows reports."""
    from transformers import TrainerCallback

    logged: list[tuple[float, float]] = []

    def record(
        _: Any, args: Any, state: Any, control: Any, logs: Any = None, **others: Any
    ) -> None:
        if "loss" in logs:
            logged.append((float(logs["loss"]), float(logs["grad_norm"])))

    options: dict[str, Any] = {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "max_grad_norm": 1e9,
    }
    trainer(
        folder,
        Rows(8),
        callbacks=[type("RecordLogs", (TrainerCallback,), {"on_log": record})()],
        max_steps=1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        **options,
    ).train()
    return logged[0]


@pytest.mark.bug("trainer-accumulation-reports-sum", symptom="loss")
def test_accumulating_reports_the_loss_of_the_whole_batch(upstream: str, tmp_path: Path) -> None:
    whole, split = first_log(tmp_path, 8, 1)[0], first_log(tmp_path, 2, 4)[0]
    assert split == pytest.approx(whole, rel=0.02), "accumulating changed the loss"


@pytest.mark.bug("trainer-accumulation-reports-sum", symptom="gradient")
def test_accumulating_gives_the_gradient_of_the_whole_batch(upstream: str, tmp_path: Path) -> None:
    whole, split = first_log(tmp_path, 8, 1)[1], first_log(tmp_path, 2, 4)[1]
    assert split == pytest.approx(whole, rel=0.02), "accumulating changed the gradient"


@pytest.mark.usefixtures("simulated_mps")
@pytest.mark.bug("trainer-bf16-refused-on-mps", symptom="refused")
def test_bf16_is_accepted_on_mps(upstream: str, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    arguments = TrainingArguments(output_dir=str(tmp_path), report_to=[], bf16=True)
    assert arguments.device.type == "mps"
