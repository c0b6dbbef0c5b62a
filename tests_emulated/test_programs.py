"""Real programs run unchanged on the emulated mps, and compute what they compute on the CPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from metalassay.testing import accelerate_state

transformers = pytest.importorskip("transformers")
SMALL = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
CLOSE: Any = {"atol": 1e-5, "rtol": 1e-5}


def model(kind: str) -> Any:
    """Build a tiny model with random weights, the same every time."""
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=32, pad_token_id=0
        )
        return transformers.GPT2LMHeadModel(config).eval()
    if kind == "bert":
        config = transformers.BertConfig(**SMALL, num_attention_heads=4)
        return transformers.BertForMaskedLM(config).eval()
    config = transformers.LlamaConfig(
        **SMALL, num_attention_heads=4, num_key_value_heads=2, pad_token_id=0
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("kind", ["gpt2", "bert", "llama"])
def test_a_model_gives_the_logits_and_gradients_of_the_cpu(kind: str) -> None:
    there = model(kind)
    here = copy.deepcopy(there).to("mps")
    ids = torch.randint(1, 64, (2, 12))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    right = there(input_ids=ids, attention_mask=mask, labels=ids)
    found = here(input_ids=ids.to("mps"), attention_mask=mask.to("mps"), labels=ids.to("mps"))
    assert found.logits.device.type == "mps"
    torch.testing.assert_close(found.logits.cpu(), right.logits, **CLOSE)
    right.loss.backward()
    found.loss.backward()
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad.cpu(), other.grad, **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_generates_what_it_generates_on_the_cpu(kind: str) -> None:
    there = model(kind)
    here = copy.deepcopy(there).to("mps")
    prompt = torch.randint(1, 64, (2, 5))
    options = {"max_new_tokens": 8, "do_sample": False}
    mask = torch.ones_like(prompt)
    right = there.generate(prompt, attention_mask=mask, **options)
    found = here.generate(prompt.to("mps"), attention_mask=mask.to("mps"), **options)
    assert found.cpu().tolist() == right.tolist()
    sampled = here.generate(
        prompt.to("mps"), attention_mask=mask.to("mps"), max_new_tokens=4, do_sample=True
    )
    assert sampled.device.type == "mps"


def rows(number: int = 16) -> list[dict[str, torch.Tensor]]:
    """Return examples for a causal model."""
    torch.manual_seed(1)
    ids = torch.randint(1, 64, (number, 8))
    return [
        {"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in ids
    ]


def test_the_trainer_trains_on_mps_as_on_the_cpu(tmp_path: Path) -> None:
    losses = {}
    for device in ("cpu", "mps"):
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / device),
            max_steps=4,
            per_device_train_batch_size=4,
            logging_steps=1,
            report_to=[],
            use_cpu=device == "cpu",
            seed=0,
            save_steps=4,
        )
        trainer = transformers.Trainer(model=model("llama"), args=arguments, train_dataset=rows())
        assert trainer.args.device.type == device
        trainer.train()
        losses[device] = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses["mps"]) == 4
    # The log rounds to four digits, so that two that agree to 1e-5 may differ by one in the last.
    assert losses["mps"] == pytest.approx(losses["cpu"], abs=1.1e-4)


def test_accelerate_picks_mps_and_steps() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerate_state.reset()
    accelerator = accelerate.Accelerator()
    assert accelerator.device.type == "mps"
    net = torch.nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    data: Any = torch.utils.data.DataLoader(list(torch.randn(8, 4)), batch_size=4)  # type: ignore[arg-type]
    net, optimizer, data = accelerator.prepare(net, optimizer, data)
    for batch in data:
        assert batch.device.type == "mps"
        accelerator.backward(net(batch).square().sum())
        accelerator.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    accelerate_state.reset()


def words() -> Any:
    """Return a tokenizer of single letters, made here: nothing is downloaded."""
    tokenizers = pytest.importorskip("tokenizers")
    letters = ["<pad>", "<eos>", "<unk>", *"abcdefghijklmnopqrstuvwxyz ."]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    built = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    built.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    built.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


COMMON = {
    "max_steps": 2,
    "report_to": [],
    "save_strategy": "no",
    "logging_steps": 1,
    "bf16": False,
    "gradient_checkpointing": False,
}


def test_the_grpo_trainer_trains_on_mps(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    trainer = trl.GRPOTrainer(
        model=model("llama"),
        processing_class=words(),
        reward_funcs=lambda completions, **_: [float(len(set(each))) for each in completions],
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=2,
            num_generations=2,
            max_completion_length=6,
            **COMMON,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": ["ab c", "de f"] * 4}),
    )
    trainer.train()
    assert trainer.args.device.type == "mps"
    assert trainer.state.global_step == 2


def test_the_dpo_trainer_trains_on_mps(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    pairs = {"prompt": ["ab "] * 8, "chosen": ["cd"] * 8, "rejected": ["xy"] * 8}
    trainer = trl.DPOTrainer(
        model=model("llama"),
        ref_model=model("llama"),  # made here: it has no name to load it by
        processing_class=words(),
        args=trl.DPOConfig(output_dir=str(tmp_path), per_device_train_batch_size=2, **COMMON),
        train_dataset=datasets.Dataset.from_dict(pairs),
    )
    trainer.train()
    assert trainer.state.global_step == 2
