"""TRL's GRPO with fewer prompts than a generation batch needs, and the PPO of older guides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

if "trl" not in versions.installed():
    pytest.skip("trl is not installed", allow_module_level=True)

from metalassay import guard
from metalassay.patches import accelerate_empty_shard

ZERO = "grpo-zero-steps"
PPO = "trl-ppoconfig-arguments-gone"
PROMPTS = ("a b", "c d", "a c", "b d", "a d", "b c", "a a", "b b")

pytestmark = pytest.mark.slow


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = {"<end>": 0, "<unknown>": 1, "a": 2, "b": 3, "c": 4, "d": 5}
    unknown = {"unk_token": "<unknown>"}
    model = Tokenizer(WordLevel(words, **unknown))
    model.pre_tokenizer = Whitespace()
    special = {"eos_token": "<end>", "pad_token": "<end>", **unknown}
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],  # Llama has no token types
        **special,
    )


def llama() -> Any:
    """Return a minimal Llama over the words above.

    TRL 0.19 requires logits_to_keep, which GPT-2 did not accept at the time.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 6, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 64}
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **tokens))


def grpo(folder: Path, prompts: int, **arguments: Any) -> Any:
    """Return a GRPOTrainer with this number of unique prompts; a generation batch needs four."""
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError as error:
        if "cannot import name" not in str(error):
            raise
        pytest.skip("this trl has no GRPO")
    from datasets import Dataset

    config = GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        num_generations=2,
        max_completion_length=4,
        save_strategy="no",
        logging_strategy="no",
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
        **arguments,
    )
    return GRPOTrainer(
        model=llama(),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=config,
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS[:prompts])}),
        processing_class=tokenizer(),
    )


@pytest.mark.bug(ZERO, symptom="current-batch")
def test_grpo_on_too_few_prompts_does_not_crash_in_the_loader(
    upstream: str, tmp_path: Path
) -> None:
    grpo(tmp_path, 2, max_steps=2).train()


@pytest.mark.bug(ZERO, symptom="silent")
def test_grpo_on_too_few_prompts_is_not_a_success(upstream: str, tmp_path: Path) -> None:
    with accelerate_empty_shard.patch():  # the crash has its own test
        steps = grpo(tmp_path, 2, max_steps=2).train().global_step
    assert steps > 0, "GRPO ended as a success with 0 steps"


@pytest.mark.bug(ZERO, symptom="asks-for-max-steps")
def test_an_epoch_of_grpo_on_too_few_prompts_names_the_prompts(
    upstream: str, tmp_path: Path
) -> None:
    with accelerate_empty_shard.patch():
        grpo(tmp_path, 2, num_train_epochs=1).train()


@pytest.mark.bug(ZERO)
def test_grpo_on_enough_prompts_takes_a_step(upstream: str, tmp_path: Path) -> None:
    assert grpo(tmp_path, 8, max_steps=1).train().global_step == 1


@pytest.mark.bug(ZERO)
def test_the_guard_counts_the_prompts(upstream: str, tmp_path: Path) -> None:
    cause = "2 unique prompts, one generation batch needs 4"
    with guard.no_zero_steps(), pytest.raises(guard.ZeroStepsError, match=cause):
        grpo(tmp_path, 2, max_steps=2).train()


@pytest.mark.bug(PPO, symptom="not-there")
def test_trl_has_a_ppo_configuration(upstream: str) -> None:
    from trl import PPOConfig  # noqa: F401


@pytest.mark.bug(PPO, symptom="unexpected-argument")
def test_the_ppo_configuration_of_the_guide_is_accepted(upstream: str) -> None:
    import trl

    if not hasattr(trl, "PPOConfig"):
        pytest.skip("this trl has no PPOConfig")
    trl.PPOConfig(batch_size=1, mini_batch_size=1, steps=50, optimize_cuda_cache=False)
