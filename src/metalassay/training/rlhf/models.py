"""Tiny Llamas with random weights, and the folders that a stage leaves to the next one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from metalassay import files
from metalassay.errors import UserError
from metalassay.training.rlhf import data

SIZES = {"tiny": (2, 64, 4), "small": (4, 256, 8)}  # layers, width, heads
CONTEXT = 64
MODEL = "model"
_PART = ".model.part"


def policy(size: str, seed: int) -> Any:
    """Return a Llama with random weights that are those of ``seed``."""
    from transformers import LlamaForCausalLM

    with _seeded(seed):
        return LlamaForCausalLM(_config(size))


def critic(size: str, seed: int) -> Any:
    """Return such a Llama that says one number."""
    from transformers import LlamaForSequenceClassification

    config = _config(size)
    config.num_labels = 1
    with _seeded(seed):
        return LlamaForSequenceClassification(config)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from ``seed``, and leave the state of the process as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _config(size: str) -> Any:
    from transformers import LlamaConfig

    layers, width, heads = SIZES[size]
    words = data.tokenizer()
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def save(model: Any, folder: Path) -> None:
    """Write ``model`` and the tokenizer to the folder of a run, completely or not at all."""
    part = folder / _PART
    shutil.rmtree(part, ignore_errors=True)  # of a killed process
    model.save_pretrained(part)
    data.tokenizer().save_pretrained(part)
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    os.replace(part, folder / MODEL)  # noqa: PTH105  (the name that tests of full disks replace)


def load_policy(run: Path) -> Any:
    """Return the language model that an earlier stage left in ``run``."""
    from transformers import LlamaForCausalLM

    _require(run, "LlamaForCausalLM", "sft")
    return LlamaForCausalLM.from_pretrained(run / MODEL)


def load_critic(run: Path) -> Any:
    """Return the reward model that an earlier stage left in ``run``."""
    from transformers import LlamaForSequenceClassification

    _require(run, "LlamaForSequenceClassification", "reward")
    return LlamaForSequenceClassification.from_pretrained(run / MODEL)


def critic_of(policy: Any, seed: int) -> Any:
    """Return a reward model with the layers of ``policy``; its head is random."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig.from_dict(policy.config.to_dict())
    config.num_labels, config.architectures = 1, None
    with _seeded(seed):
        made = LlamaForSequenceClassification(config)
    made.model.load_state_dict(policy.model.state_dict())
    return made


def _require(run: Path, architecture: str, program: str) -> None:
    """Raise ``UserError`` unless ``run`` has a model of the kind that ``program`` makes."""
    wanted = f"name the folder of a finished `metalassay train rlhf {program}`"
    path = run / MODEL / "config.json"
    if not path.is_file():
        raise UserError(f"{run} has no finished model", wanted)
    config = files.read_json(path, wanted)
    found = config.get("architectures") if isinstance(config, dict) else None
    if found != [architecture] or config.get("vocab_size") != len(data.tokenizer()):
        raise UserError(f"{run} has another model than {program} makes", wanted)


def identity(run: Path) -> str:
    """Return a digest of the weights in ``run``. Raises ``UserError`` where it has no finished model."""
    weights = run / MODEL / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{run} has no finished model", "name the folder of a run that has ended")
    return hashlib.sha256(files.content(weights)).hexdigest()
