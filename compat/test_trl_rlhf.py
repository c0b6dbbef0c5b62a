"""RLHF with the installed TRL: each trainer takes its steps with a tiny model, and the chain runs through."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalassay import bugs
from metalassay.environment import versions

if "trl" not in versions.installed():
    pytest.skip("trl is not installed", allow_module_level=True)
if "datasets" not in versions.installed():
    pytest.skip("datasets is not installed", allow_module_level=True)

REQUESTS = "grpotrainer-needs-requests"
FIRST = {
    REQUESTS: ("grpo",),
    "trl-1-15-trains-on-cuda-only": ("sft", "dpo", "grpo"),
    "trl-warnings-issued-transformers-5-1": ("dpo", "grpo"),
}
REWARD = "rewardtrainer-transformers-4-46"
SAMPLER = "grpotrainer-train-sampler-transformers-4-52"

pytestmark = [pytest.mark.slow, pytest.mark.package("trl")]

STEPS = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    yield
    torch.set_num_threads(before)


def skip_where_another_bug_is_first(kind: str) -> None:
    """Skip where a known bug of the installed versions, with tests of its own, stops this trainer."""
    for bug, kinds in FIRST.items():
        if kind in kinds and bugs.get(bug).hits(versions.installed()):
            if bug == REQUESTS and importlib.util.find_spec("requests"):
                continue
            pytest.skip(f"{bug} stops this first")


def trained(kind: str, folder: Path, **more: Any) -> dict[str, Any]:
    """Return the result of a few steps of a trainer on the CPU; skip where this TRL has none."""
    import torch

    from metalassay.errors import UserError
    from metalassay.training.rlhf import stage, trainers

    skip_where_another_bug_is_first(kind)
    try:
        trainers.trainer_class(kind)
    except UserError as error:
        pytest.skip(error.message)
    plan = stage.Plan(kind, "tiny", STEPS, batch=8, learning_rate=1e-3, seed=0, prompts=64, **more)
    ended = stage.run(plan, folder, torch.device("cpu"), save_every=2)
    assert json.loads((folder / "result.json").read_text("utf-8")) == ended.result
    return ended.result


def assert_trained(result: dict[str, Any]) -> None:
    """Assert that the steps were taken, and that they changed what was measured before them."""
    assert result["steps"] == STEPS
    assert result["timed_steps"] == STEPS - 1
    assert result["tokens_per_second"] > 0
    assert result["before"] != result["after"]


def test_sft_takes_steps(tmp_path: Path) -> None:
    result = trained("sft", tmp_path / "sft")
    assert_trained(result)
    assert result["after"]["answer_loss"] < result["before"]["answer_loss"]


@pytest.mark.bug(REWARD, symptom="unexpected-argument")
def test_a_reward_model_takes_steps(upstream: str, tmp_path: Path) -> None:
    assert_trained(trained("reward", tmp_path / "reward"))


@pytest.mark.bug("dpotrainer-transformers-4-46", symptom="generate")
def test_dpo_takes_steps(upstream: str, tmp_path: Path) -> None:
    result = trained("dpo", tmp_path / "dpo")
    assert_trained(result)
    assert result["before"]["preference_margin"] == 0


def test_ppo_takes_steps(tmp_path: Path) -> None:
    assert_trained(trained("ppo", tmp_path / "ppo"))


@pytest.mark.bug(SAMPLER, symptom="positional")
def test_grpo_takes_steps(upstream: str, tmp_path: Path) -> None:
    assert trained("grpo", tmp_path / "grpo")["steps"] == STEPS


@pytest.mark.bug(REWARD, symptom="unexpected-argument")
def test_the_chain_runs_from_sft_to_a_policy(upstream: str, tmp_path: Path) -> None:
    from metalassay.training.rlhf import trainers

    last = "ppo" if trainers.has("ppo") else "grpo"
    sft = trained("sft", tmp_path / "sft")
    trained("reward", tmp_path / "reward", start=tmp_path / "sft")
    end = trained(last, tmp_path / last, start=tmp_path / "sft", critic=tmp_path / "reward")
    # It starts from what SFT made, not from other random weights.
    assert end["before"]["reward"] == sft["after"]["reward"]
    assert "reward_model_score" in end["after"]


@pytest.mark.bug(SAMPLER, symptom="positional")
def test_grpo_with_too_few_prompts_never_ends_as_a_success_without_steps(
    upstream: str, tmp_path: Path
) -> None:
    import torch

    from metalassay.errors import UserError
    from metalassay.training.rlhf import stage

    skip_where_another_bug_is_first("grpo")
    plan = stage.Plan("grpo", "tiny", STEPS, batch=16, learning_rate=1e-3, seed=0, prompts=2)
    refused = steps = None
    try:
        steps = stage.run(plan, tmp_path / "grpo", torch.device("cpu")).result["steps"]
    except UserError as error:
        refused = error.message
    if refused is None:  # TRL 0.14 fills its batches otherwise, and trains
        assert steps == STEPS
    elif "has no GRPO" in refused:
        pytest.skip(refused)
    else:
        assert "unique prompts" in refused
        assert not (tmp_path / "grpo" / "model").exists()


@pytest.mark.bug("dpotrainer-needs-bos-token", symptom="none")
def test_dpo_takes_a_tokenizer_without_a_first_token(upstream: str, tmp_path: Path) -> None:
    import torch

    from metalassay.training.rlhf import data, models, trainers

    skip_where_another_bug_is_first("dpo")
    setting = trainers.Setting(tmp_path, torch.device("cpu"), 1, 4, 1e-3, 0, None, 1)
    both = [models.policy("tiny", 0) for _ in range(2)]
    made, _ = data.examples(0, 8)
    trainer = trainers.dpo(setting, both[0], both[1], made, [], data.tokenizer())
    assert trainer.train().global_step == 1


def test_a_resumed_sft_takes_the_steps_that_are_left(tmp_path: Path) -> None:
    import torch

    from metalassay.training.rlhf import stage

    skip_where_another_bug_is_first("sft")
    plan = stage.Plan("sft", "tiny", 6, batch=8, learning_rate=1e-3, seed=0, prompts=64)
    calls = iter([False, False, True])
    cpu = torch.device("cpu")
    stopped = stage.run(plan, tmp_path, cpu, save_every=2, stop=lambda: next(calls, True))
    assert stopped.stopped_at == 3
    whole = stage.run(plan, tmp_path, cpu, save_every=2, resume=True)
    assert whole.result["resumed_at"] == 3
    assert whole.result["steps"] == 6


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo", "grpo"])
def test_a_trainer_takes_a_step_when_it_is_asked_to(kind: str, tmp_path: Path) -> None:
    """As the benchmarks need it: a thread, a count, and an end in the midst of the training."""
    import torch

    from metalassay.training.rlhf import libraries, steps, trainers

    skip_where_another_bug_is_first(kind)
    broken = {"reward": (REWARD,), "dpo": ("dpotrainer-transformers-4-46",), "grpo": (SAMPLER,)}
    for bug in broken.get(kind, ()):
        if bugs.get(bug).hits(versions.installed()):
            pytest.skip(f"{bug} stops this first")
    if not trainers.has(kind):
        pytest.skip(f"this TRL has no {kind}")
    with libraries.offline_and_quiet():
        taken = steps.Steps(kind, 8, torch.device("cpu"), tmp_path)
        try:
            counts = taken.count()
            taken()
            taken.check()
        finally:
            taken.close()
    assert counts.flop > 2 * 3 * taken.parameters  # a sequence takes some tokens forward and back
    assert taken.tokens_per_step is not None
    assert taken.tokens_per_step > 8
