"""Tiny Llamas, and what one stage leaves to the next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.errors import UserError
from metalassay.training.rlhf import models

pytest.importorskip("transformers")


def test_weights_are_those_of_the_seed_and_the_process_draws_on() -> None:
    torch.default_generator.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (models.policy("tiny", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_reward_model_has_the_layers_of_the_policy_and_says_one_number(tmp_path: Path) -> None:
    policy = models.policy("tiny", 1)
    critic = models.critic_of(policy, 2)
    assert critic.score.out_features == 1
    models.save(critic, tmp_path)
    read = models.load_critic(tmp_path)
    assert read.score.out_features == 1
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(read.model.state_dict()[name], tensor)


def test_a_run_of_another_kind_and_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished model"):
        models.load_policy(tmp_path)
    with pytest.raises(UserError, match="no finished model"):
        models.identity(tmp_path)
    models.save(models.policy("tiny", 1), tmp_path)
    models.load_policy(tmp_path)
    with pytest.raises(UserError, match="another model than reward makes"):
        models.load_critic(tmp_path)
    first = models.identity(tmp_path)
    models.save(models.policy("tiny", 2), tmp_path)  # in the place of the first
    assert models.identity(tmp_path) != first
    assert not list(tmp_path.glob("*.part"))
