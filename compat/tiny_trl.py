"""The smallest model, tokenizer and GRPOTrainer that TRL accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PROMPTS = ("a b", "c d", "a c", "b d", "a d", "b c", "a a", "b b")


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
    """Return a GRPOTrainer with this number of unique prompts; a generation batch needs four.

    ``arguments`` are those of its configuration, also in place of the ones below.
    """
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError as error:
        if "cannot import name" not in str(error):
            raise
        pytest.skip("this trl has no GRPO")
    from datasets import Dataset

    usual: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "disable_tqdm": True,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "num_generations": 2,
        "max_completion_length": 4,
        "save_strategy": "no",
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        "gradient_checkpointing": False,
    }
    config = GRPOConfig(**{**usual, **arguments})
    return GRPOTrainer(
        model=llama(),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=config,
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS[:prompts])}),
        processing_class=tokenizer(),
    )
