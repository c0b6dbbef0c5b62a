"""Real programs run unchanged on the emulated mps, with the same results as on the CPU."""

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
    """Return a tiny model with the same random weights every time."""
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
    on_cpu = model(kind)
    on_mps = copy.deepcopy(on_cpu).to("mps")
    ids = torch.randint(1, 64, (2, 12))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    expected = on_cpu(input_ids=ids, attention_mask=mask, labels=ids)
    result = on_mps(input_ids=ids.to("mps"), attention_mask=mask.to("mps"), labels=ids.to("mps"))
    assert result.logits.device.type == "mps"
    torch.testing.assert_close(result.logits.cpu(), expected.logits, **CLOSE)
    expected.loss.backward()
    result.loss.backward()
    for weight, cpu_weight in zip(on_mps.parameters(), on_cpu.parameters(), strict=True):
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad.cpu(), cpu_weight.grad, **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_model_generates_the_same_tokens_as_on_the_cpu(kind: str) -> None:
    on_cpu = model(kind)
    on_mps = copy.deepcopy(on_cpu).to("mps")
    prompt = torch.randint(1, 64, (2, 5))
    options = {"max_new_tokens": 8, "do_sample": False}
    mask = torch.ones_like(prompt)
    expected = on_cpu.generate(prompt, attention_mask=mask, **options)
    generated = on_mps.generate(prompt.to("mps"), attention_mask=mask.to("mps"), **options)
    assert generated.cpu().tolist() == expected.tolist()
    sampled = on_mps.generate(
        prompt.to("mps"), attention_mask=mask.to("mps"), max_new_tokens=4, do_sample=True
    )
    assert sampled.device.type == "mps"


def examples(count: int = 16) -> list[dict[str, torch.Tensor]]:
    """Return training examples for a causal model."""
    torch.manual_seed(1)
    ids = torch.randint(1, 64, (count, 8))
    return [
        {"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in ids
    ]


def test_the_trainer_has_the_same_losses_as_on_the_cpu(tmp_path: Path) -> None:
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
        trainer = transformers.Trainer(
            model=model("llama"), args=arguments, train_dataset=examples()
        )
        assert trainer.args.device.type == device
        trainer.train()
        losses[device] = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses["mps"]) == 4
    # The log rounds to four digits, so losses that agree to 1e-5 may differ by one in the last digit.
    assert losses["mps"] == pytest.approx(losses["cpu"], abs=1.1e-4)


def test_accelerate_chooses_mps_and_trains() -> None:
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


def tokenizer() -> Any:
    """Return a tokenizer of single letters, without a download."""
    tokenizers = pytest.importorskip("tokenizers")
    letters = ["<pad>", "<eos>", "<unk>", *"abcdefghijklmnopqrstuvwxyz ."]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    letters_only = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    letters_only.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    letters_only.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=letters_only, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
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
        processing_class=tokenizer(),
        reward_funcs=lambda completions, **_: [float(len(set(text))) for text in completions],
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
        ref_model=model(
            "llama"
        ),  # otherwise the trainer would load it by its name, which it does not have
        processing_class=tokenizer(),
        args=trl.DPOConfig(output_dir=str(tmp_path), per_device_train_batch_size=2, **COMMON),
        train_dataset=datasets.Dataset.from_dict(pairs),
    )
    trainer.train()
    assert trainer.state.global_step == 2
