"""transformers with other packages: imports, the versions its metadata allow, removed arguments."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from fresh_import import import_in_a_fresh_process

from metalassay.environment import versions

if "transformers" not in versions.installed():
    pytest.skip("transformers is not installed", allow_module_level=True)

REMOVED = "training-arguments-removed"
REMOVED_IN_5 = "training-arguments-removed-in-5"


@pytest.mark.slow
@pytest.mark.bug("transformers4-needs-hub-below-1", symptom="import-error")
def test_transformers_imports_with_this_hub(upstream: str) -> None:
    import_in_a_fresh_process("import transformers")


@pytest.mark.slow
@pytest.mark.bug("transformers5-needs-get-module-size", symptom="import-error")
def test_the_trainer_imports_with_this_accelerate(upstream: str) -> None:
    if "accelerate" not in versions.installed():
        pytest.skip("accelerate is not installed")
    import_in_a_fresh_process("from transformers import Trainer")


@pytest.mark.slow
@pytest.mark.bug("peft-hybridcache-transformers5", symptom="import-error")
def test_peft_imports_with_this_transformers(upstream: str) -> None:
    if "peft" not in versions.installed():
        pytest.skip("peft is not installed")
    import_in_a_fresh_process("import peft")


@pytest.mark.bug("transformers-torch-extra-caps-torch", symptom="capped")
def test_the_torch_extra_allows_the_installed_torch(upstream: str) -> None:
    from packaging.requirements import Requirement

    if "torch" not in versions.installed():
        pytest.skip("torch is not installed")
    torch = versions.installed()["torch"].partition("+")[0]
    extra = [
        requirement
        for requirement in map(Requirement, metadata.requires("transformers") or ())
        if requirement.name == "torch"
        and requirement.marker
        and requirement.marker.evaluate({"extra": "torch"})
    ]
    refusing = [
        str(requirement) for requirement in extra if not requirement.specifier.contains(torch)
    ]
    assert not refusing, f"transformers[torch] refuses torch {torch}: {refusing}"


@pytest.mark.bug("transformers-4-12-builds-tokenizers", symptom="no-wheel")
def test_the_installed_tokenizers_has_a_wheel(upstream: str) -> None:
    from packaging.version import Version

    if "tokenizers" not in versions.installed():
        pytest.skip("tokenizers is not installed")
    tokenizers = Version(versions.installed()["tokenizers"])
    assert tokenizers > Version("0.10.3"), f"tokenizers {tokenizers} has no wheel for this Python"


@pytest.mark.slow
@pytest.mark.bug(REMOVED, symptom="evaluation-strategy")
def test_training_arguments_take_evaluation_strategy(upstream: str, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    TrainingArguments(str(tmp_path), evaluation_strategy="no", report_to=[], use_cpu=True)


@pytest.mark.slow
@pytest.mark.bug(REMOVED, symptom="trainer-tokenizer")
def test_the_trainer_takes_a_tokenizer(upstream: str, tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    from metalassay.testing.tiny_trainer import gpt2

    arguments = TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    Trainer(model=gpt2(), args=arguments, tokenizer=None)


def accept(folder: Path, **arguments: Any) -> None:
    """Make TrainingArguments with these arguments, which old programs pass."""
    from transformers import TrainingArguments

    TrainingArguments(str(folder), report_to=[], **arguments)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="use-mps-device")
def test_training_arguments_take_use_mps_device(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, use_mps_device=False)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="no-cuda")
def test_training_arguments_take_no_cuda(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, no_cuda=True)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="overwrite-output-dir")
def test_training_arguments_take_overwrite_output_dir(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, overwrite_output_dir=True)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="save-safetensors")
def test_training_arguments_take_save_safetensors(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, save_safetensors=True)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="group-by-length")
def test_training_arguments_take_group_by_length(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, group_by_length=True)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="warmup-ratio")
def test_training_arguments_take_warmup_ratio(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, warmup_ratio=0.1)


@pytest.mark.slow
@pytest.mark.bug(REMOVED_IN_5, symptom="logging-dir")
def test_training_arguments_take_logging_dir(upstream: str, tmp_path: Path) -> None:
    accept(tmp_path, logging_dir=str(tmp_path))


@pytest.mark.slow
@pytest.mark.bug("transformers-adamw-removed", symptom="import-error")
def test_transformers_has_adamw(upstream: str) -> None:
    import_in_a_fresh_process("from transformers import AdamW")


@pytest.mark.slow
@pytest.mark.bug("peft-clear-device-cache-accelerate", symptom="import-error")
def test_peft_imports_with_this_accelerate(upstream: str) -> None:
    if "peft" not in versions.installed():
        pytest.skip("peft is not installed")
    import_in_a_fresh_process("import peft")
