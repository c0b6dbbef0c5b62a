"""TRL's SFT and DPO losses of texts, with the weights of a ``TinyGPT`` in a GPT-2 of the same shape.

Used by tools/trl_losses.py, which records them, and by the test that compares them where TRL is installed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metalassay.training.gpt import dialogues, tokenizer
from metalassay.training.gpt.dialogues import END, Faults
from metalassay.training.gpt.task import Trained, prompt_text
from metalassay.workloads.models.tiny_gpt import TINY, TinyGPT, TinyGPTConfig

QUESTIONS = (
    ("What is a tide?", "The rise and fall of the sea.", "No idea, ask the Moon about it."),
    ("1 + 1?", "2", "Three, or perhaps four."),
    ("月亮?", "地球的卫星。", "a star"),
)
BETA = 0.1


def trained(move: float = 1.0) -> Trained:
    """Return a model whose weights come from a formula, the same everywhere, with a tokenizer.

    Another ``move`` gives other weights, as those of a policy that has left its reference.
    """
    model = TinyGPT(TINY).eval()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            at = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = torch.sin(at * (0.7 + 0.13 * number) * move).view_as(parameter)
            parameter.copy_(1 + 0.1 * wave if parameter.dim() == 1 else 0.15 * wave)
    faults = Faults(dialogues.TRAINING, False, print)
    made = tokenizer.train(dialogues.TRAINING, TINY.vocabulary, faults)
    return Trained(model, made, 0, {"size": "tiny"})


def gpt2(model: TinyGPT, shape: TinyGPTConfig = TINY) -> Any:
    """Return transformers' GPT-2 with the weights of ``model``, and without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_positions=shape.context,
        n_embd=shape.channels,
        n_layer=shape.layers,
        n_head=shape.heads,
        activation_function="gelu",  # the exact one, as ours
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    theirs = GPT2LMHeadModel(config).eval()
    ours = model.state_dict()
    names = {
        "wte": "tokens",
        "wpe": "positions",
        "ln_f": "norm",
        **{
            f"h.{layer}.{name}": f"blocks.{layer}.{own}"
            for layer in range(shape.layers)
            for name, own in (
                ("ln_1", "attention_norm"),
                ("attn.c_attn", "attention.qkv"),
                ("attn.c_proj", "attention.projection"),
                ("ln_2", "mlp_norm"),
                ("mlp.c_fc", "expand"),
                ("mlp.c_proj", "projection"),
            )
        },
    }
    with torch.no_grad():
        for name, parameter in theirs.transformer.named_parameters():
            module, _, kind = name.rpartition(".")
            value = ours[f"{names[module]}.{kind}"]
            # Its Conv1D has the matrix of a linear layer the other way round.
            parameter.copy_(value.T if "c_" in module and kind == "weight" else value)
    return theirs


def missing() -> str | None:
    """Return what the installed TRL lacks of what is asked here, None if it has everything."""
    import inspect

    from trl import DPOTrainer, SFTConfig

    if "completion_only_loss" not in inspect.signature(SFTConfig).parameters:
        return "this trl's SFTConfig has no completion_only_loss: it learns the questions too"
    for name in ("concatenated_forward", "compute_ref_log_probs", "dpo_loss"):
        if not hasattr(DPOTrainer, name):
            return f"this trl's DPOTrainer has no {name}"
    return None


def their_tokenizer(made: Any) -> Any:
    """Return our tokenizer as transformers has it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=END, model_input_names=["input_ids", "attention_mask"]
    )  # fmt: skip


def _arguments(folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "gradient_checkpointing": False,
        "per_device_train_batch_size": len(QUESTIONS),
        "dataloader_pin_memory": False,
    }


def sft(start: Trained) -> dict[str, Any]:
    """Return SFTTrainer's loss of the three questions with their answers, its labels and gradient."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = {
        "prompt": [prompt_text(question) for question, _, _ in QUESTIONS],
        "completion": [answer + END for _, answer, _ in QUESTIONS],
    }
    model = gpt2(start.model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**_arguments(folder), completion_only_loss=True),
            train_dataset=Dataset.from_dict(rows),
            processing_class=their_tokenizer(start.tokenizer.tokenizer),
        )
        batch = trainer.data_collator([trainer.train_dataset[at] for at in range(len(QUESTIONS))])
        model.train()
        loss = trainer.compute_loss(model, dict(batch))
    loss.backward()
    return {
        "tokens": batch["input_ids"].tolist(),
        "labels": batch["labels"].tolist(),
        "loss": loss.item(),
        "gradient_norm": _gradient_norm(model),
    }


def dpo(start: Trained, policy: Trained) -> dict[str, Any]:
    """Return DPOTrainer's loss of the three pairs, with what it is made of, and its gradient."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = {
        "prompt": [prompt_text(question) for question, _, _ in QUESTIONS],
        "chosen": [chosen for _, chosen, _ in QUESTIONS],
        "rejected": [rejected for _, _, rejected in QUESTIONS],
    }
    model, reference = gpt2(policy.model), gpt2(start.model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            model=model,
            ref_model=reference,
            args=DPOConfig(**_arguments(folder), beta=BETA, max_length=64, max_prompt_length=None),
            train_dataset=Dataset.from_dict(rows),
            processing_class=their_tokenizer(start.tokenizer.tokenizer),
        )
        batch = trainer.data_collator([trainer.train_dataset[at] for at in range(len(QUESTIONS))])
        model.train()
        before = trainer.compute_ref_log_probs(batch)
        now = trainer.concatenated_forward(model, batch)
        found = trainer.dpo_loss(now["chosen_logps"], now["rejected_logps"], *before)
        loss, _ = trainer.get_batch_loss_metrics(model, batch)
    loss.backward()
    return {
        "chosen_log_probabilities": now["chosen_logps"].tolist(),
        "rejected_log_probabilities": now["rejected_logps"].tolist(),
        "reference_chosen_log_probabilities": before[0].tolist(),
        "reference_rejected_log_probabilities": before[1].tolist(),
        "losses": found[0].tolist(),
        "chosen_rewards": found[1].tolist(),
        "rejected_rewards": found[2].tolist(),
        "loss": loss.item(),
        "gradient_norm": _gradient_norm(model),
    }


def lines(folder: Path) -> tuple[Path, Path]:
    """Write the questions as a file of dialogues and one of pairs."""
    import json

    texts = [{"text": f"{prompt_text(q)}{a}{END}"} for q, a, _ in QUESTIONS]
    pairs = [{"prompt": q, "chosen": a, "rejected": b} for q, a, b in QUESTIONS]
    paths = folder / "dialogues.jsonl", folder / "pairs.jsonl"
    for path, rows in zip(paths, (texts, pairs), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return paths


def _gradient_norm(model: nn.Module) -> float:
    gradients: list[Tensor] = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.cat(gradients)))
