"""Which trainer and which arguments an installed TRL has: read from it, not from its version."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from metalassay.errors import UserError
from metalassay.training.rlhf import trainers


class SFTTrainer:
    """As in a release that keeps the length with the trainer."""

    def __init__(self, model: Any, args: Any, tokenizer: Any, max_seq_length: int) -> None:
        self.args, self.max_seq_length = args, max_seq_length


class SFTConfig:
    """As in a release whose configuration has few arguments."""

    def __init__(self, output_dir: str, max_steps: int, no_cuda: bool = False) -> None:
        self.max_steps, self.no_cuda = max_steps, no_cuda


class EarlyPPO:
    """Leaves the loop to its user."""

    def step(self) -> None:
        """Take one step."""


@pytest.fixture
def old_trl(monkeypatch: pytest.MonkeyPatch) -> Any:
    trl: Any = types.ModuleType("trl")
    trl.__version__ = "0.0.1"
    trl.SFTTrainer, trl.SFTConfig = SFTTrainer, SFTConfig
    monkeypatch.setitem(sys.modules, "trl", trl)
    return trl


def test_what_a_release_lacks_is_said_with_its_version(old_trl: types.ModuleType) -> None:
    assert trainers.trainer_class("sft") is SFTTrainer
    assert trainers.has("sft")
    for kind, name in (("grpo", "GRPO"), ("ppo", "PPO")):
        assert not trainers.has(kind)
        with pytest.raises(UserError, match=f"TRL 0.0.1 has no {name}"):
            trainers.trainer_class(kind)


def test_each_argument_goes_where_this_release_takes_it(
    old_trl: types.ModuleType, tmp_path: Path
) -> None:
    setting = trainers.Setting(tmp_path, torch.device("cpu"), 7, 4, 1e-3, 0, None, 1)
    wanted = {**trainers._usual(setting), "max_seq_length": 9, "unknown": 1}
    config, own = trainers._split(SFTTrainer, wanted, {"model": 1, "tokenizer": 2, "callbacks": []})
    assert (config.max_steps, config.no_cuda) == (7, True)
    assert own == {"max_seq_length": 9, "model": 1, "tokenizer": 2}


def test_the_early_ppo_is_known_by_its_step() -> None:
    assert trainers.is_early_ppo(EarlyPPO)
    assert not trainers.is_early_ppo(SFTTrainer)


def test_the_rule_scores_each_completion() -> None:
    prompts = ["repeat key key jar :"] * 2
    assert trainers.by_the_rule(prompts, ["key key jar", "jar"], other=1) == [1.0, 0.0]
