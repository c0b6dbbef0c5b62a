"""TRL's GRPO with fewer prompts than a generation batch needs, and the PPO of older guides."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.environment import versions

if "trl" not in versions.installed():
    pytest.skip("trl is not installed", allow_module_level=True)

from tiny_trl import grpo

from metalassay import guard
from metalassay.patches import accelerate_empty_shard

ZERO = "grpo-zero-steps"
PPO = "trl-ppoconfig-arguments-gone"

pytestmark = pytest.mark.slow


@pytest.mark.bug(ZERO, symptom="current-batch")
def test_grpo_on_too_few_prompts_does_not_crash_in_the_loader(
    upstream: str, tmp_path: Path
) -> None:
    grpo(tmp_path, 2, max_steps=2).train()


@pytest.mark.bug(ZERO, symptom="silent")
def test_grpo_on_too_few_prompts_is_not_a_success(upstream: str, tmp_path: Path) -> None:
    with accelerate_empty_shard.patch():  # the crash has its own test
        steps = grpo(tmp_path, 2, max_steps=2).train().global_step
    assert steps > 0, "GRPO ended as a success with 0 steps"


@pytest.mark.bug(ZERO, symptom="asks-for-max-steps")
def test_an_epoch_of_grpo_on_too_few_prompts_names_the_prompts(
    upstream: str, tmp_path: Path
) -> None:
    with accelerate_empty_shard.patch():
        grpo(tmp_path, 2, num_train_epochs=1).train()


@pytest.mark.bug(ZERO)
def test_grpo_on_enough_prompts_takes_a_step(upstream: str, tmp_path: Path) -> None:
    assert grpo(tmp_path, 8, max_steps=1).train().global_step == 1


@pytest.mark.bug(ZERO)
def test_the_guard_counts_the_prompts(upstream: str, tmp_path: Path) -> None:
    cause = "2 unique prompts, one generation batch needs 4"
    with guard.no_zero_steps(), pytest.raises(guard.ZeroStepsError, match=cause):
        grpo(tmp_path, 2, max_steps=2).train()


@pytest.mark.bug(PPO, symptom="not-there")
def test_trl_has_a_ppo_configuration(upstream: str) -> None:
    from trl import PPOConfig  # noqa: F401


@pytest.mark.bug(PPO, symptom="unexpected-argument")
def test_the_ppo_configuration_of_the_guide_is_accepted(upstream: str) -> None:
    import trl

    if not hasattr(trl, "PPOConfig"):
        pytest.skip("this trl has no PPOConfig")
    trl.PPOConfig(batch_size=1, mini_batch_size=1, steps=50, optimize_cuda_cache=False)
