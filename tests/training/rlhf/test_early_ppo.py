"""The loop that PPO of TRL up to 0.11 leaves to its user."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from metalassay.training.rlhf import data, early_ppo, meter, models, trainers

pytest.importorskip("transformers")
CPU = torch.device("cpu")


class Trainer:
    """Answers with one word, and records what it is to learn from."""

    def __init__(self) -> None:
        self.accelerator = SimpleNamespace(device=CPU)
        self.seen: list[tuple[list[str], list[float]]] = []

    def generate(self, queries: list[torch.Tensor], **_: Any) -> list[torch.Tensor]:
        """Return the first word of each prompt."""
        return [query[1:2] for query in queries]

    def step(self, queries: Any, answers: Any, scores: list[torch.Tensor]) -> dict[str, float]:
        """Record the prompts and the scores."""
        said = data.tokenizer().batch_decode(queries)
        self.seen.append((said, [float(each) for each in scores]))
        return {"ppo/loss/total": 1.0, "objective/kl": 0.5}


def test_each_step_has_the_next_prompts_and_is_reported(tmp_path: Path) -> None:
    made, _ = data.examples(0, 6)
    setting = trainers.Setting(tmp_path, CPU, 4, 2, 1e-3, 0, None, 2)
    trainer, critic = Trainer(), models.critic("tiny", 0)
    reports: list[int] = []
    measured = meter.Meter(CPU, models.policy("tiny", 0))
    early_ppo.train(
        trainer, setting, critic, made, measured, lambda step, figures: reports.append(step)
    )
    prompts = [each.prompt for each in made]
    assert [said for said, _ in trainer.seen] == [
        prompts[0:2],
        prompts[2:4],
        prompts[4:6],
        prompts[0:2],
    ]
    assert trainer.seen[0][1] == pytest.approx(trainer.seen[3][1])
    assert reports == [2, 4]
    assert measured.timed == 3
