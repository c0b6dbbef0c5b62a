"""TRL with releases of transformers that it was not written for; arguments that it removed."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from metalassay.environment import versions

if "trl" not in versions.installed():
    pytest.skip("trl is not installed", allow_module_level=True)

ARGUMENTS = "sfttrainer-arguments-removed"
CUDA_ONLY = "trl-1-15-trains-on-cuda-only"

pytestmark = pytest.mark.slow

WITHOUT_REQUESTS = """
import importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "requests" else super().find_spec(name, path, target)
sys.meta_path = [Finder if each is importlib.machinery.PathFinder else each for each in sys.meta_path]
"""


def imports(name: str, before: str = "") -> None:
    """Import ``name`` from trl in a new interpreter; raise ``ImportError`` with the end of stderr."""
    statement = f"{before}\nimport trl\nhasattr(trl, {name!r}) or exit(3)"
    program = f"{statement}\nfrom trl import {name}"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if child.returncode == 3:
        pytest.skip(f"this trl has no {name}")
    if child.returncode:
        raise ImportError(child.stderr.strip()[-2000:])


def is_required(package: str, by: str) -> bool:
    """Return whether the metadata of ``by`` require ``package``, extras aside."""
    return any(
        requirement.name == package
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        for requirement in map(Requirement, metadata.requires(by) or ())
    )


@pytest.mark.bug("grpotrainer-needs-requests", symptom="import-error")
def test_grpo_imports_with_what_the_requirements_of_trl_install(upstream: str) -> None:
    # Whether some other program has brought requests here is chance.
    brought = any(is_required("requests", by) for by in ("transformers", "datasets"))
    imports("GRPOTrainer", before="" if brought else WITHOUT_REQUESTS)


@pytest.mark.bug("trl-optional-packages-transformers-5-3", symptom="import-error")
def test_grpo_imports_without_optional_packages(upstream: str) -> None:
    imports("GRPOTrainer")


@pytest.mark.bug("dpotrainer-vision-2-seq-transformers5", symptom="import-error")
def test_dpo_imports_with_this_transformers(upstream: str) -> None:
    imports("DPOTrainer")


def with_tokenizer(trainer: Any) -> dict[str, Any]:
    """Return the argument that gives ``trainer`` its tokenizer, under the name of the installed TRL."""
    from tiny_trl import tokenizer

    renamed = "processing_class" in inspect.signature(trainer.__init__).parameters
    return {"processing_class" if renamed else "tokenizer": tokenizer()}


@pytest.mark.bug("grpotrainer-train-sampler-transformers-4-52", symptom="positional")
def test_grpo_makes_its_loader(upstream: str, tmp_path: Path) -> None:
    from tiny_trl import grpo

    assert len(grpo(tmp_path, 8, max_steps=1).get_train_dataloader()) > 0


@pytest.mark.bug("ktotrainer-train-sampler-transformers-4-52", symptom="positional")
def test_kto_makes_its_loader(upstream: str, tmp_path: Path) -> None:
    import trl
    from datasets import Dataset
    from tiny_trl import llama

    if not hasattr(trl, "KTOTrainer"):
        pytest.skip("this trl has no KTO")
    rows = {"prompt": ["a b"] * 4, "completion": ["c d"] * 4, "label": [True, False] * 2}
    kto = trl.KTOTrainer(
        model=llama(),
        ref_model=llama(),
        args=trl.KTOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            report_to=[],
            per_device_train_batch_size=2,
            max_length=16,
        ),
        train_dataset=Dataset.from_dict(rows),
        **with_tokenizer(trl.KTOTrainer),
    )
    assert len(kto.get_train_dataloader()) > 0


def dpo(folder: Path, **arguments: Any) -> Any:
    """Return a DPOTrainer for a minimal Llama."""
    from datasets import Dataset
    from tiny_trl import llama
    from trl import DPOConfig, DPOTrainer

    rows = {"prompt": ["a b"] * 4, "chosen": ["c d"] * 4, "rejected": ["d c"] * 4}
    config = DPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=False,
        per_device_train_batch_size=2,
        max_length=16,
        save_strategy="no",
        dataloader_pin_memory=False,
        **arguments,
    )
    words = with_tokenizer(DPOTrainer)
    for each in words.values():
        each.bos_token = each.eos_token  # without one, TRL before 0.10 fails in another way
    return DPOTrainer(
        model=llama(),
        ref_model=llama(),
        args=config,
        train_dataset=Dataset.from_dict(rows),
        **words,
    )


@pytest.mark.bug("dpotrainer-transformers-4-46", symptom="generate")
def test_dpo_takes_a_step(upstream: str, tmp_path: Path) -> None:
    assert dpo(tmp_path, max_steps=1, logging_strategy="no").train().global_step == 1


@pytest.mark.bug("dpotrainer-transformers-4-46", symptom="log")
def test_dpo_logs_what_the_trainer_passes(upstream: str, tmp_path: Path) -> None:
    from transformers import Trainer

    has_start = "start_time" in inspect.signature(Trainer.log).parameters
    dpo(tmp_path).log({"loss": 1.0}, *([0.0] if has_start else []))


def skip_without_kernels(*, triton: bool) -> None:
    """Skip where TRL has no kernels of its own, or where Triton is installed and should not, or the reverse."""
    if importlib.util.find_spec("trl.kernels") is None:
        pytest.skip("this trl has no kernels")
    if (importlib.util.find_spec("triton") is not None) != triton:
        pytest.skip(f"triton is {'not ' if triton else ''}installed")


@pytest.mark.bug(CUDA_ONLY, symptom="no-triton")
def test_dpo_takes_a_step_without_triton(upstream: str, tmp_path: Path) -> None:
    skip_without_kernels(triton=False)
    assert dpo(tmp_path, max_steps=1, logging_strategy="no").train().global_step == 1


@pytest.mark.bug(CUDA_ONLY, symptom="no-driver")
def test_dpo_takes_a_step_on_the_cpu_with_triton(upstream: str, tmp_path: Path) -> None:
    import torch

    skip_without_kernels(triton=True)
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device, where Triton finds a driver")
    assert dpo(tmp_path, max_steps=1, logging_strategy="no").train().global_step == 1


@pytest.mark.bug("trl-warnings-issued-transformers-5-1", symptom="attribute")
def test_grpo_is_made_with_this_transformers(upstream: str, tmp_path: Path) -> None:
    from tiny_trl import grpo

    assert grpo(tmp_path, 8, max_steps=1).model is not None


def sft(folder: Path, config: dict[str, Any] | None = None, **arguments: Any) -> None:
    """Make an SFTTrainer for a minimal Llama, with arguments that old programs pass."""
    from datasets import Dataset
    from tiny_trl import llama
    from trl import SFTConfig, SFTTrainer

    if "tokenizer" not in arguments:
        arguments.update(with_tokenizer(SFTTrainer))
    SFTTrainer(
        model=llama(),
        args=SFTConfig(
            output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], **(config or {})
        ),
        train_dataset=Dataset.from_dict({"text": ["a b c d"] * 4}),
        **arguments,
    )


@pytest.mark.bug(ARGUMENTS, symptom="tokenizer")
def test_sft_takes_a_tokenizer(upstream: str, tmp_path: Path) -> None:
    from tiny_trl import tokenizer

    sft(tmp_path, {"dataset_text_field": "text"}, tokenizer=tokenizer())


@pytest.mark.bug(ARGUMENTS, symptom="max-seq-length")
def test_sft_takes_max_seq_length(upstream: str, tmp_path: Path) -> None:
    sft(tmp_path, {"dataset_text_field": "text"}, max_seq_length=16)


@pytest.mark.bug(ARGUMENTS, symptom="config-max-seq-length")
def test_the_configuration_of_sft_takes_max_seq_length(upstream: str, tmp_path: Path) -> None:
    sft(tmp_path, {"dataset_text_field": "text", "max_seq_length": 16})
