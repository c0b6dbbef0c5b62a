"""transformers with other packages: imports, the versions its metadata allow, removed arguments."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from metalassay.environment import versions

if "transformers" not in versions.installed():
    pytest.skip("transformers is not installed", allow_module_level=True)

REMOVED = "training-arguments-removed"


def import_in_a_fresh_process(statement: str) -> None:
    """Run ``statement`` in a new interpreter; raise ``ImportError`` with the end of stderr if it fails."""
    child = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    if child.returncode:
        raise ImportError(child.stderr.strip()[-2000:])


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
