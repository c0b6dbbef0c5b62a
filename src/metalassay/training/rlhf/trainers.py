"""TRL's trainers, made with the arguments that the installed release takes.

Arguments have moved between the trainer and its configuration, and been renamed, in nearly every minor
release. Which ones there are is read from the signatures; no version is compared.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.training.rlhf import data, evaluation
from metalassay.training.rlhf.data import Example

NAMES = {
    "sft": "SFTTrainer",
    "reward": "RewardTrainer",
    "dpo": "DPOTrainer",
    "ppo": "PPOTrainer",
    "grpo": "GRPOTrainer",
}
RATES = {"sft": 3e-3, "reward": 1e-3, "dpo": 1e-4, "ppo": 1e-4, "grpo": 3e-4}
"""Learning rates with which the tiny models learn the task."""
GENERATIONS = 4  # answers of GRPO to each prompt
LENGTH = 4 * (data.PROMPT + data.ANSWER)  # tokens; more than any text has, so that nothing is cut
# TRL has moved what it may remove here; PPO was in both places for a while, and warned in the first.
_MODULES = ("trl.experimental.ppo", "trl")


@dataclass(frozen=True)
class Setting:
    """How long and how fast to train, and where."""

    folder: Path
    where: torch.device
    steps: int
    batch: int
    learning_rate: float
    seed: int
    save_every: int | None  # steps; None for no checkpoints
    log_every: int


def trainer_class(kind: str) -> Any:
    """Return TRL's trainer of a kind. Raises ``UserError`` where the installed release has none."""
    name = NAMES[kind]
    for module in _MODULES if kind == "ppo" else ("trl",):
        try:
            place = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            continue
        if name in getattr(place, "__all__", ()) or name in vars(place) or _lazily_has(place, name):
            return getattr(place, name)
    version = importlib.import_module("trl").__version__
    known = {
        "ppo": ("install a release with PPO: pip install 'trl<1.13'", "PPO"),
        "grpo": ("pip install 'trl>=0.17'", "GRPO"),
    }
    advice, what = known.get(kind, ("pip install 'trl>=0.8'", name))
    raise UserError(f"TRL {version} has no {what}", advice)


def _lazily_has(place: Any, name: str) -> bool:
    # A lazy module knows its names before it imports them, which may fail: that error is TRL's own.
    return name in getattr(place, "_class_to_module", ()) or name in dir(place)


def has(kind: str) -> bool:
    """Return whether the installed TRL has a trainer of this kind, importable or not."""
    try:
        trainer_class(kind)
    except UserError:
        return False
    except (ImportError, RuntimeError):  # there, and broken; making one says why
        return True
    return True


def is_early_ppo(trainer: Any) -> bool:
    """Return whether a PPO trainer leaves the loop to its user, as TRL's did until 0.11."""
    return hasattr(trainer, "step") and not hasattr(trainer, "train")


def _config_class(trainer: Any) -> Any:
    """Return the configuration that belongs to ``trainer``: TRL's own, or that of transformers."""
    name = trainer.__name__.replace("Trainer", "Config")
    place = importlib.import_module("trl")
    if trainer.__module__.startswith("trl.experimental"):
        place = importlib.import_module("trl.experimental.ppo")
    return getattr(place, name, None) or importlib.import_module("transformers").TrainingArguments


def _parameters(of: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(of.__init__).parameters


def _usual(setting: Setting) -> dict[str, Any]:
    """Return the arguments that all trainers share, under each name that they have had."""
    on_cpu = setting.where.type == "cpu"
    return {
        "output_dir": str(setting.folder),
        "max_steps": setting.steps,
        "per_device_train_batch_size": setting.batch,
        "gradient_accumulation_steps": 1,
        "learning_rate": setting.learning_rate,
        "seed": setting.seed,
        "logging_steps": setting.log_every,
        "save_strategy": "steps" if setting.save_every else "no",
        "save_steps": setting.save_every or 500,
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        **({} if not on_cpu else {"no_cuda": True}),
        "bf16": False,  # newer releases of TRL turn it on, and the CPU and older GPUs are slow with it
        "fp16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "optim": "adamw_torch",
    }


def _split(
    trainer: Any, wanted: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return a configuration with what it takes of ``wanted``, and the arguments of the trainer."""
    config = _config_class(trainer)
    taken = _parameters(config)
    given = {name: value for name, value in wanted.items() if name in taken}
    if "use_cpu" in taken:
        given.pop("no_cuda", None)  # its deprecated name
    own = _parameters(trainer)
    both = {**{name: value for name, value in wanted.items() if name not in taken}, **others}
    return config(**given), {name: value for name, value in both.items() if name in own}


def _dataset(columns: Mapping[str, list[Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(dict(columns))


def _tokenizer_arguments() -> dict[str, Any]:
    words = data.tokenizer()
    return {"processing_class": words, "tokenizer": words}


def sft(setting: Setting, model: Any, made: list[Example], callbacks: list[Any]) -> Any:
    """Return an SFTTrainer for ``model``."""
    trainer = trainer_class("sft")
    wanted = {
        **_usual(setting),
        "dataset_text_field": "text",
        "max_length": LENGTH,
        "max_seq_length": LENGTH,
        "packing": False,
    }
    if "max_length" in _parameters(_config_class(trainer)):
        wanted.pop("max_seq_length")  # its name until 0.16
    config, own = _split(
        trainer,
        wanted,
        {
            "model": model,
            "train_dataset": _dataset(data.sft_rows(made)),
            "callbacks": callbacks,
            **_tokenizer_arguments(),
        },
    )
    return trainer(args=config, **own)


def reward(setting: Setting, model: Any, made: list[Example], callbacks: list[Any]) -> Any:
    """Return a RewardTrainer for ``model``."""
    trainer = trainer_class("reward")
    words = _tokenizer_arguments()
    words["tokenizer"].padding_side = "right"
    wanted = {**_usual(setting), "max_length": LENGTH, "remove_unused_columns": False}
    if "remove_unused_columns" in _parameters(_config_class(trainer)):
        # TRL up to 0.23 says that it wants this and sets it; later ones choose the columns themselves.
        wanted.pop("remove_unused_columns" if _makes_its_columns(trainer) else "", None)
    config, own = _split(
        trainer,
        wanted,
        {
            "model": model,
            "train_dataset": _dataset(data.reward_rows(made, words["tokenizer"])),
            "callbacks": callbacks,
            **words,
        },
    )
    return trainer(args=config, **own)


def _makes_its_columns(trainer: Any) -> bool:
    return hasattr(trainer, "_prepare_dataset")


def dpo(
    setting: Setting,
    model: Any,
    reference: Any,
    made: list[Example],
    callbacks: list[Any],
    words: Any = None,
) -> Any:
    """Return a DPOTrainer for ``model``, which shall not go far from ``reference``.

    ``words`` is a tokenizer to use as it is; ours gets a first token where TRL cannot do without.
    """
    trainer = trainer_class("dpo")
    wanted = {
        **_usual(setting),
        "beta": 0.1,
        "max_length": LENGTH,
        "max_prompt_length": LENGTH // 2,
        "remove_unused_columns": False,
    }
    as_it_is, words = words is not None, words or data.tokenizer()

    def made_with() -> Any:
        others = {
            "model": model,
            "ref_model": reference,
            "train_dataset": _dataset(data.pair_rows(made)),
            "callbacks": callbacks,
            "processing_class": words,
            "tokenizer": words,
        }
        config, own = _split(trainer, wanted, others)
        return trainer(args=config, **own)

    first = made_with()
    if as_it_is or None not in (_first_row(first).get("prompt_input_ids") or ()):
        return first
    # TRL before 0.10 begins every prompt with this token, although the tokenizer has none.
    words.bos_token = data.END
    return made_with()


def _first_row(trainer: Any) -> Mapping[str, Any]:
    row: Mapping[str, Any] = trainer.train_dataset[0]
    return row


def by_the_rule(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """Return the reward of each completion by the rule of the task."""
    return [data.reward(*both) for both in zip(prompts, completions, strict=True)]


def grpo(
    setting: Setting,
    model: Any,
    critic: Any,
    made: list[Example],
    callbacks: list[Any],
) -> Any:
    """Return a GRPOTrainer for ``model``, rewarded by ``critic``, or without one by the rule.

    There is no penalty for leaving the model it starts from: releases differ in whether they have one
    unless they are asked.
    """
    trainer = trainer_class("grpo")
    wanted = {
        **_usual(setting),
        "num_generations": GENERATIONS,
        "max_completion_length": evaluation.MOST_TOKENS,
        "beta": 0.0,
        "temperature": 1.0,
    }
    others = {
        "model": model,
        "reward_funcs": [by_the_rule if critic is None else _by(critic)],
        "train_dataset": _dataset(data.prompt_rows(made)),
        "callbacks": callbacks,
        **_tokenizer_arguments(),
    }
    config, own = _split(trainer, wanted, others)
    return trainer(args=config, **own)


def _by(critic: Any) -> Callable[..., list[float]]:
    """Return a reward by ``critic``.

    Given the model itself, TRL would score the texts without their end, which the model has learnt to read.
    """
    words = data.tokenizer()

    def by_the_reward_model(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        texts = [evaluation.whole(*both) for both in zip(prompts, completions, strict=True)]
        return [float(each) for each in evaluation.scores(critic, words, texts)]

    return by_the_reward_model


def ppo(
    setting: Setting,
    model: Any,
    reference: Any,
    critic: Any,
    value: Any,
    made: list[Example],
    callbacks: list[Any],
) -> Any:
    """Return a PPOTrainer of TRL 0.12 or newer for ``model``.

    ``critic`` scores whole answers, and ``value``, which is trained too, foresees the score.
    """
    trainer = trainer_class("ppo")
    words = _tokenizer_arguments()
    wanted = {
        **_usual(setting),
        "num_ppo_epochs": 4,
        "num_mini_batches": 1,
        "total_episodes": setting.steps * setting.batch,
        "local_rollout_forward_batch_size": setting.batch,
        "num_sample_generations": 0,
        "response_length": evaluation.MOST_TOKENS,
        "stop_token": "eos",
        "temperature": 1.0,
        "save_strategy": "no",
    }
    wanted.pop("max_steps")
    config, own = _split(
        trainer,
        wanted,
        {
            "model": model,
            "policy": model,
            "ref_model": reference,
            "ref_policy": reference,
            "reward_model": critic,
            "value_model": value,
            "train_dataset": _dataset(data.query_rows(made, words["tokenizer"])),
            "eval_dataset": _dataset(data.query_rows(made[:1], words["tokenizer"])),
            "callbacks": callbacks,
            **words,
        },
    )
    place = "config" if "config" in _parameters(trainer) else "args"  # "config" in 0.12
    return trainer(**{place: config}, **own)
