"""PPO of TRL up to 0.11, which has no loop of its own: its user generates, scores, and calls ``step``."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from metalassay.training.rlhf import data, evaluation
from metalassay.training.rlhf.data import Example
from metalassay.training.rlhf.meter import Meter, Report
from metalassay.training.rlhf.trainers import Setting


def make(trainer: Any, setting: Setting, model: Any, reference: Any) -> Any:
    """Return a PPOTrainer for ``model``, which gets a head that foresees the score."""
    from trl import AutoModelForCausalLMWithValueHead, PPOConfig

    wanted = {
        "batch_size": setting.batch,
        "mini_batch_size": setting.batch,
        "gradient_accumulation_steps": 1,
        "steps": setting.steps * setting.batch,
        "learning_rate": setting.learning_rate,
        "seed": setting.seed,
        "accelerator_kwargs": {"cpu": True} if setting.where.type == "cpu" else {},
    }
    known = inspect.signature(PPOConfig.__init__).parameters
    config = PPOConfig(**{name: value for name, value in wanted.items() if name in known})
    both = [AutoModelForCausalLMWithValueHead.from_pretrained(each) for each in (model, reference)]
    return trainer(config, *both, data.tokenizer())


def train(
    trainer: Any,
    setting: Setting,
    critic: Any,
    made: list[Example],
    meter: Meter,
    report: Report,
) -> int:
    """Take the steps, each with prompts that follow those of the one before; return their number."""
    words = data.tokenizer()
    critic.to(trainer.accelerator.device)
    meter.begin()
    for step in range(setting.steps):
        batch = [made[(step * setting.batch + at) % len(made)] for at in range(setting.batch)]
        queries = [torch.tensor(words(each.prompt)["input_ids"]) for each in batch]
        answers = trainer.generate(
            [query.to(trainer.accelerator.device) for query in queries],
            return_prompt=False,
            do_sample=True,
            top_k=0,
            # PPO needs more than one token, and a first token that ends the answer leaves none.
            min_new_tokens=2,
            max_new_tokens=evaluation.MOST_TOKENS,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
        said = words.batch_decode(answers, skip_special_tokens=True)
        texts = [
            evaluation.whole(each.prompt, text) for each, text in zip(batch, said, strict=True)
        ]
        scores = evaluation.scores(critic, words, texts)
        figures = trainer.step(queries, answers, list(scores))
        meter.end_step()
        if (step + 1) % setting.log_every == 0:
            report(
                step + 1,
                {
                    "loss": float(figures["ppo/loss/total"]),
                    "scores": float(scores.mean()),
                    "kl": float(figures["objective/kl"]),
                },
            )
    return setting.steps
