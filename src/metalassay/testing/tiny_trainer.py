"""The smallest model, data and Trainer that transformers accepts; a step takes milliseconds.

For tests of what the Trainer does around a model, whatever the model is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from metalassay.testing import accelerate_state

NO_DISPATCH = {"accelerator_config": {"dispatch_batches": False}}
"""Lets each process read an iterable dataset itself: DataLoaderShard, not the dispatcher."""


def gpt2(**config: Any) -> Any:
    """Return a GPT-2 with one layer of width 8 and 32 tokens: fixed weights, no dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**{**sizes, **tokens, **dropout, **config}))


def row(index: int) -> dict[str, torch.Tensor]:
    """Return a sample of four tokens, which are determined by ``index``."""
    tokens = torch.tensor([1 + index % 30, 2, 3, 4])
    return {"input_ids": tokens, "labels": tokens.clone()}


class Rows(Dataset[dict[str, torch.Tensor]]):
    """A map-style dataset of ``length`` samples."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return row(index)


class Stream(IterableDataset[dict[str, torch.Tensor]]):
    """An iterable dataset that yields ``length`` samples per pass and has no ``len()``."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (row(index) for index in range(self.length))


def trainer(
    folder: Path,
    train_dataset: Any,
    *,
    model: Any = None,
    eval_dataset: Any = None,
    callbacks: Any = None,
    **arguments: Any,
) -> Any:
    """Return a Trainer on the CPU with a batch size of 2 that writes to ``folder`` only.

    ``arguments`` are passed to TrainingArguments. The process-wide state of accelerate is reset
    before.
    """
    from transformers import Trainer, TrainingArguments

    accelerate_state.reset()
    defaults: dict[str, Any] = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "save_strategy": "no",
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
    }
    return Trainer(
        model=gpt2() if model is None else model,
        args=TrainingArguments(output_dir=str(folder), **{**defaults, **arguments}),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        callbacks=callbacks,
    )
