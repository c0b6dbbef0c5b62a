"""Import the training packages that are installed here and take a few steps with each of them.

A program for any environment: it needs nothing but the packages under test, no network and no file of
ours. For every stage it prints a line of JSON: ``{"stage": ..., "status": "begun"}``, then the same stage
as "passed", "failed" (with ``error``, the exception, and ``frames``, where it was raised) or "absent"
(these versions do not have it). A stage that begins and does not end has crashed.

Usage: python child.py STAGE ...
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.metadata
import inspect
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

# The folder of this file is no place for packages.
sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).parent]

TEXTS = ("a b c d", "b c d a", "c d a b", "d a b c")
STEPS = 2


class AbsentError(Exception):
    """These versions do not have what a stage is about."""


def main(stages: Sequence[str]) -> None:
    """Run the stages in turn; the exit code is 0, whatever they say."""
    # Libraries print to stdout: what the parent reads gets a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for stage in stages:
        say(answers, stage, status="begun")
        say(answers, stage, **outcome(stage))
        gc.collect()


def say(stream: IO[str], stage: str, **fields: Any) -> None:
    """Print what is known of a stage, at once: the next line may not come."""
    stream.write(json.dumps({"stage": stage, **fields}) + "\n")
    stream.flush()


def outcome(stage: str) -> dict[str, Any]:
    """Run one stage; return its status, and what was raised where if it failed."""
    try:
        run(stage)
    except AbsentError as absent:
        return {"status": "absent", "error": str(absent)}
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever the packages raise is the answer)
        text = f"{type(error).__name__}: {error}"
        return {"status": "failed", "error": text[-2000:], "frames": frames(error)[-12:]}
    return {"status": "passed"}


def frames(error: BaseException) -> list[str]:
    """Return where an error was raised, then where those were that it was raised from; ours is left out.

    Packages that import lazily wrap what goes wrong: the innermost cause is where it went wrong.
    """
    found = []
    first: BaseException | None = error
    while first is not None:
        found += [
            f"{short(frame.filename)}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(first.__traceback__)
            if Path(frame.filename) != Path(__file__)
        ]
        first = first.__cause__
    return found


def short(path: str) -> str:
    """Return a path from site-packages or the standard library on, without this machine's folders."""
    for mark in ("site-packages/", "dist-packages/", "/lib/python"):
        _, found, tail = path.replace("\\", "/").rpartition(mark)
        if found:
            return tail
    return Path(path).name


def run(stage: str) -> None:
    """Run one stage in a folder of its own; raise what goes wrong."""
    if stage.startswith("import "):
        package = stage.removeprefix("import ")
        present(package)
        importlib.import_module(package)
        return
    reset_accelerate()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        STAGES[stage](folder)


def present(package: str) -> None:
    """Raise ``AbsentError`` where a package is not installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise AbsentError(f"{package} is not installed") from None


def from_package(package: str, *names: str) -> list[Any]:
    """Return names of a package; raise ``AbsentError`` where it or one of them does not exist.

    A name that its package lists and cannot import is no absence: that failure is the answer.
    """
    present(package)
    module = importlib.import_module(package)
    listed = {*getattr(module, "__all__", ()), *dir(module)}
    for name in names:
        if name not in listed:
            raise AbsentError(f"this {package} has no {name}")
    return [getattr(module, name) for name in names]


def reset_accelerate() -> None:
    """Clear accelerate's process-wide state, so that a stage does not depend on those before it."""
    module = sys.modules.get("accelerate.state")
    for name in ("GradientState", "AcceleratorState", "PartialState"):
        if hasattr(module, name):
            getattr(module, name)._shared_state.clear()


def accepted(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return those arguments that a callable takes by name, its ``**kwargs`` not counted."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names}


def gpt2() -> Any:
    """Return a GPT-2 with one layer of width 8."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **tokens))


def llama() -> Any:
    """Return a Llama of minimal size: TRL asks GPT-2 for an argument that it did not always have."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64}
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **tokens))


def tokenizer() -> Any:
    """Return a tokenizer of four words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = {"<end>": 0, "<unknown>": 1, "a": 2, "b": 3, "c": 4, "d": 5}
    model = Tokenizer(WordLevel(words, unk_token="<unknown>"))  # noqa: S106  (a token of text)
    model.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        eos_token="<end>",  # noqa: S106
        pad_token="<end>",  # noqa: S106
        unk_token="<unknown>",  # noqa: S106
    )


def tokens() -> list[dict[str, Any]]:
    """Return eight samples of four tokens for the Trainer."""
    import torch

    rows = [torch.tensor([2 + index % 4, 3, 4, 5]) for index in range(8)]
    return [{"input_ids": row, "labels": row.clone()} for row in rows]


def arguments_for(kind: Any, folder: str, **more: Any) -> Any:
    """Return the training arguments of a class: a batch of two, a checkpoint after every step."""
    return kind(
        **accepted(
            kind.__init__,
            output_dir=folder,
            report_to=[],
            disable_tqdm=True,
            per_device_train_batch_size=2,
            per_device_eval_batch_size=2,
            save_strategy="steps",
            save_steps=1,
            logging_steps=1,
            bf16=False,
            dataloader_pin_memory=False,
            gradient_checkpointing=False,
            **more,
        )
    )


def train(trainer: Any, steps: int, resume: str | None = None) -> None:
    """Train, and raise if that took another number of steps, or changed nothing."""
    before = sum(float(each.detach().double().abs().sum()) for each in trainer.model.parameters())
    trainer.train(resume_from_checkpoint=resume)
    taken = trainer.state.global_step
    if taken != steps:
        raise AssertionError(f"the training ended as a success after {taken} of {steps} steps")
    after = sum(float(each.detach().double().abs().sum()) for each in trainer.model.parameters())
    if not after == after or (before == after and not resume):  # not a number, or nothing learned
        raise AssertionError(f"the weights sum to {after} after the training, {before} before")


def accelerator(folder: str) -> None:
    """Two steps with a prepared model, and its state saved and loaded."""
    import torch

    (Accelerator,) = from_package("accelerate", "Accelerator")  # noqa: N806  (a class)
    fast = Accelerator()
    model = torch.nn.Linear(2, 1)
    data = torch.utils.data.TensorDataset(torch.ones(4, 2), torch.ones(4, 1))
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    optimizer = torch.optim.AdamW(model.parameters())
    model, optimizer, loader = fast.prepare(model, optimizer, loader)
    steps = 0
    for inputs, wanted in loader:
        with fast.accumulate(model):
            loss = torch.nn.functional.mse_loss(model(inputs), wanted)
            fast.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    if steps != STEPS:
        raise AssertionError(f"the loader gave {steps} of {STEPS} batches")
    fast.save_state(folder)
    fast.load_state(folder)


def trainer(folder: str, resume: bool = False) -> None:
    """Two steps of the Trainer with an evaluation; with ``resume``, one more from the checkpoint."""
    Trainer, Arguments = from_package("transformers", "Trainer", "TrainingArguments")  # noqa: N806

    def make(steps: int) -> Any:
        reset_accelerate()
        options = arguments_for(Arguments, folder, max_steps=steps)
        return Trainer(model=gpt2(), args=options, train_dataset=tokens(), eval_dataset=tokens())

    first = make(STEPS)
    train(first, STEPS)
    if resume:
        train(make(STEPS + 1), STEPS + 1, resume=checkpoint(folder, STEPS))
    else:
        first.evaluate()


def checkpoint(folder: str, steps: int) -> str:
    """Return the folder of the checkpoint that the Trainer wrote after a number of steps."""
    return str(Path(folder, f"checkpoint-{steps}"))


def lora(folder: str) -> None:
    """Two steps of the Trainer with a LoRA adapter, which is saved and loaded."""
    Trainer, Arguments = from_package("transformers", "Trainer", "TrainingArguments")  # noqa: N806
    Config, PeftModel, wrap = from_package("peft", "LoraConfig", "PeftModel", "get_peft_model")  # noqa: N806

    config = Config(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    options = arguments_for(Arguments, folder, max_steps=STEPS, label_names=["labels"])
    train(Trainer(model=wrap(gpt2(), config), args=options, train_dataset=tokens()), STEPS)
    wrap(gpt2(), config).save_pretrained(folder)
    PeftModel.from_pretrained(gpt2(), folder)


def trl_trainer(
    name: str,
    config_name: str,
    folder: str,
    data: dict[str, list[Any]],
    resume: bool = False,
    **more: Any,
) -> None:
    """Train with one of TRL's trainers; with ``resume``, one more step from the checkpoint."""
    (kind,) = from_package("trl", name)
    from datasets import Dataset

    try:
        (config,) = from_package("trl", config_name)
    except AbsentError:
        (config,) = from_package("transformers", "TrainingArguments")

    def make(steps: int) -> Any:
        reset_accelerate()
        special = {key: more[key] for key in more if key not in ("ref_model", "reward_funcs")}
        options = arguments_for(config, folder, max_steps=steps, **special)
        parameters = inspect.signature(kind.__init__).parameters
        words = "processing_class" if "processing_class" in parameters else "tokenizer"
        extra = accepted(
            kind.__init__,
            **{key: value() for key, value in more.items() if key == "ref_model"},
            **{key: more[key] for key in more if key == "reward_funcs"},
            **({} if "max_length" in inspect.signature(config).parameters else {"max_length": 16}),
            dataset_text_field="text",
            max_seq_length=16,
        )
        if "dataset_text_field" in inspect.signature(config).parameters:
            extra.pop("dataset_text_field", None)
            extra.pop("max_seq_length", None)
        return kind(
            model=llama(),
            args=options,
            train_dataset=Dataset.from_dict(data),
            **{words: tokenizer()},
            **extra,
        )

    train(make(STEPS), STEPS)
    if resume:
        train(make(STEPS + 1), STEPS + 1, resume=checkpoint(folder, STEPS))


def sft(folder: str, resume: bool = False) -> None:
    """Two steps of TRL's SFTTrainer; with ``resume``, one more from the checkpoint."""
    trl_trainer(
        "SFTTrainer", "SFTConfig", folder, {"text": list(TEXTS)}, resume=resume,
        dataset_text_field="text", max_seq_length=16, max_length=16, learning_rate=0.1,
    )  # fmt: skip


def dpo(folder: str) -> None:
    """Two steps of TRL's DPOTrainer."""
    rows = {"prompt": ["a b"] * 4, "chosen": ["c d"] * 4, "rejected": ["d c"] * 4}
    trl_trainer(
        "DPOTrainer", "DPOConfig", folder, rows,
        max_length=16, max_prompt_length=8, ref_model=llama, learning_rate=0.1,
    )  # fmt: skip


def grpo(folder: str) -> None:
    """Two steps of TRL's GRPOTrainer, which generates its own completions."""
    rows = {"prompt": ["a b", "c d", "a c", "b d", "a d", "b c", "a a", "b b"]}

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(index % 2) for index, _ in enumerate(completions)]

    trl_trainer(
        "GRPOTrainer", "GRPOConfig", folder, rows, reward_funcs=reward,
        num_generations=2, max_completion_length=4, max_prompt_length=8, learning_rate=0.1,
    )  # fmt: skip


STAGES: dict[str, Callable[[str], None]] = {
    "Accelerator": accelerator,
    "Trainer": trainer,
    "Trainer resume": functools.partial(trainer, resume=True),
    "LoRA": lora,
    "SFTTrainer": sft,
    "SFTTrainer resume": functools.partial(sft, resume=True),
    "DPOTrainer": dpo,
    "GRPOTrainer": grpo,
}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.argv[1:])
