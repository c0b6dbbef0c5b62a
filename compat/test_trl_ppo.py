"""What does the work of guide 003's PPOConfig with the installed TRL, executed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from metalassay.environment import versions

if "trl" not in versions.installed():
    pytest.skip("trl is not installed", allow_module_level=True)

from tiny_trl import PROMPTS, grpo, llama, tokenizer

TABLE = tomllib.loads(Path(__file__).with_name("ppo_equivalents.toml").read_text("utf-8"))
PPO = "trl-ppoconfig-arguments-gone"
ZERO = "grpo-zero-steps"
GRPO = "trl.GRPOConfig"
INSTALLED = Version(versions.installed()["trl"])

pytestmark = pytest.mark.slow


def equivalent() -> dict[str, Any]:
    for row in TABLE["equivalent"]:
        if Version(row["first"]) <= INSTALLED and (
            not row["last"] or Version(row["last"]) >= INSTALLED
        ):
            found: dict[str, Any] = row
            return found
    pytest.skip(f"the table has no row for trl {INSTALLED}")


def made(**more: Any) -> Any:
    """Return the configuration of the row for the installed TRL."""
    row = equivalent()
    module, _, name = row["config"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**{**row["arguments"], **more})


def critic() -> Any:
    """Return a minimal Llama that says one number."""
    from transformers import LlamaForSequenceClassification

    config = llama().config
    config.num_labels = 1
    return LlamaForSequenceClassification(config)


def trainer_of(folder: Path, **arguments: Any) -> Any:
    """Return a PPOTrainer of TRL 0.12 and newer."""
    return trainer_with(config_of(folder, **arguments))


def config_of(folder: Path, **arguments: Any) -> Any:
    """Return the configuration of the row for the installed TRL, which writes to ``folder``."""
    return made(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        num_sample_generations=0,
        response_length=4,
        gradient_checkpointing=False,
        **arguments,
    )


def trainer_with(config: Any) -> Any:
    """Return a PPOTrainer of TRL 0.12 and newer; its arguments were renamed in 0.13 and 0.14."""
    from datasets import Dataset

    words = tokenizer()
    rows = Dataset.from_dict({"input_ids": [words(text)["input_ids"] for text in PROMPTS]})
    trainer = importlib.import_module(equivalent()["config"].rpartition(".")[0]).PPOTrainer
    names = inspect.signature(trainer.__init__).parameters
    given = {
        "config" if "config" in names else "args": config,
        "processing_class": words,
        "policy" if "policy" in names else "model": llama(),
        "ref_policy" if "ref_policy" in names else "ref_model": llama(),
        "reward_model": critic(),
        "value_model": critic(),
        "train_dataset": rows,
        "eval_dataset": rows,
    }
    return trainer(**given)


@pytest.mark.bug(PPO)
def test_the_equivalent_of_the_guides_ppo_does_its_rounds(upstream: str, tmp_path: Path) -> None:
    if equivalent()["config"] == GRPO:
        pytest.skip("this trl has no PPO; the next test does this with GRPO")
    if Version("0.12") > INSTALLED:
        rounds_of_the_early_trainer()
        return
    trainer = trainer_of(tmp_path)
    # A batch is as large as the guide's, and an update is made of all of it.
    assert (trainer.args.batch_size, trainer.args.mini_batch_size) == (4, 4)
    assert trainer.args.num_total_batches == TABLE["rounds"]
    before = [each.detach().clone() for each in trainer.model.parameters()]
    trainer.train()
    assert trainer.state.episode == TABLE["rounds"] * TABLE["guide"]["batch_size"]
    after = [*trainer.model.parameters()]
    assert any(bool((a != b).any()) for a, b in zip(before, after, strict=True))


@pytest.mark.bug(ZERO)
def test_grpo_does_the_rounds_of_the_guides_ppo(upstream: str, tmp_path: Path) -> None:
    if equivalent()["config"] != GRPO:
        pytest.skip("this trl has PPO")
    trainer = grpo(tmp_path, 8, **equivalent()["arguments"])
    assert trainer.args.generation_batch_size == TABLE["guide"]["batch_size"]
    assert trainer.train().global_step == TABLE["rounds"]


def rounds_of_the_early_trainer() -> None:
    import torch
    from trl import AutoModelForCausalLMWithValueHead, PPOTrainer

    config = made()
    assert config.total_ppo_epochs == TABLE["rounds"] == math.ceil(50 / 4)
    model = AutoModelForCausalLMWithValueHead.from_pretrained(llama())
    reference = AutoModelForCausalLMWithValueHead.from_pretrained(llama())
    words = tokenizer()
    trainer = PPOTrainer(config, model, reference, words)
    before = [each.detach().clone() for each in model.parameters()]
    queries = [torch.tensor(words(text)["input_ids"]) for text in PROMPTS[:4]]
    for _ in range(config.total_ppo_epochs):
        responses = trainer.generate(
            queries, return_prompt=False, min_new_tokens=2, max_new_tokens=4, do_sample=True
        )
        trainer.step(queries, responses, [torch.tensor(float(len(each))) for each in responses])
    assert any(bool((a != b).any()) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.bug(PPO)
def test_the_sizes_of_the_guide_are_accepted_and_overwritten(upstream: str, tmp_path: Path) -> None:
    if Version("0.12") > INSTALLED or equivalent()["config"] == GRPO:
        pytest.skip("only the PPO of 0.12 and newer takes sizes that it computes itself")
    trainer = trainer_of(tmp_path, batch_size=64, mini_batch_size=32)
    assert (trainer.args.batch_size, trainer.args.mini_batch_size) == (4, 4)


def skip_without_ppo() -> None:
    """Skip the test where TRL has no PPO any longer."""
    if not equivalent()["config"].endswith("PPOConfig"):
        pytest.skip("this trl has no PPO")


def old_config(**arguments: Any) -> Any:
    """Return the PPOConfig of TRL up to 0.11, whose fields guide 003 uses; None for a newer TRL with PPO."""
    if Version("0.12") <= INSTALLED:
        skip_without_ppo()
        return None
    import trl

    return trl.PPOConfig(**arguments)


def test_the_guides_batch_of_four_with_four_accumulations_is_not_sixteen(tmp_path: Path) -> None:
    guide = {"batch_size": 4, "gradient_accumulation_steps": 4}
    if Version("0.12") > INSTALLED:
        with pytest.raises(TypeError, match="dataloader_num_workers"):
            old_config(**guide, dataloader_num_workers=0)
        with pytest.raises(ValueError, match="must be a multiple of"):
            old_config(**guide)
        return
    skip_without_ppo()
    more = {"num_mini_batches": 1, "dataloader_num_workers": 0}
    config = config_of(tmp_path, **guide, **more, per_device_train_batch_size=8)
    (size,) = (f for f in dataclasses.fields(config) if f.name == "per_device_train_batch_size")
    assert size.default == 8
    assert trainer_with(config).args.batch_size == 32


def test_a_batch_size_set_afterwards_changes_nothing_that_was_computed(tmp_path: Path) -> None:
    guide = {"batch_size": 4, "mini_batch_size": 2, "gradient_accumulation_steps": 2}
    config = old_config(**guide)
    if config is not None:
        config.batch_size = config.mini_batch_size = 1
        assert config.backward_batch_size == 4
        return
    config = config_of(tmp_path, **guide, num_mini_batches=1, per_device_train_batch_size=8)
    config.batch_size = config.mini_batch_size = 1
    arguments = trainer_with(config).args
    assert (arguments.batch_size, arguments.mini_batch_size) == (16, 16)
