"""Our losses of SFT and DPO against TRL's, with the same weights, texts and tokens.

tests/data/trl_losses.json has what TRL said once, with the versions: tools/trl_losses.py recorded it.
Where TRL is installed, it is asked again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import trl_reference
from torch import Tensor, nn

from metalassay.environment import versions
from metalassay.training.gpt import fine_tuning
from metalassay.training.gpt.dialogues import Faults
from metalassay.training.gpt.examples import Examples, Shuffled, padded

DATA = Path(__file__).parents[2] / "data" / "trl_losses.json"
RECORDED = json.loads(DATA.read_text("utf-8"))
NEAR = 1e-5


def ours(folder: Path) -> dict[str, Any]:
    """Return what tools/trl_losses.py records, by our own code from the same files of texts."""
    start, policy = trl_reference.trained(), trl_reference.trained(1.01)
    dialogues, pairs = trl_reference.lines(folder)
    read = fine_tuning.dialogue_reader(start)
    examples = Examples(dialogues, read, Faults(dialogues, True, print))
    tokens, answers = padded([examples[at] for at in range(len(examples))])
    batch = Shuffled(examples, len(examples), 1, 0).next()
    loss = fine_tuning.sft_loss(start.model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    sft = {
        "tokens": tokens,
        "labels": torch.where(answers, tokens, -100),
        "loss": loss.item(),
        "gradient_norm": gradient_norm(start.model),
    }
    start.model.requires_grad_(False)
    read = fine_tuning.pair_reader(start)
    examples = Examples(pairs, read, Faults(pairs, True, print))
    inputs = padded([examples[at] for at in range(len(examples))])
    before = fine_tuning.log_probabilities(start.model, *inputs).view(2, -1)
    now = fine_tuning.log_probabilities(policy.model, *inputs).view(2, -1)
    rewards = fine_tuning.rewards(policy.model, start.model, *inputs, trl_reference.BETA)
    losses = fine_tuning.preference_losses(rewards)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    chosen, rejected = rewards.tolist()[:3], rewards.tolist()[3:]
    dpo = {
        "chosen_log_probabilities": now[0].tolist(),
        "rejected_log_probabilities": now[1].tolist(),
        "reference_chosen_log_probabilities": before[0].tolist(),
        "reference_rejected_log_probabilities": before[1].tolist(),
        "losses": losses.tolist(),
        "chosen_rewards": chosen,
        "rejected_rewards": rejected,
        "loss": losses.mean().item(),
        "gradient_norm": gradient_norm(policy.model),
    }
    return {"sft": sft, "dpo": dpo}


def gradient_norm(model: nn.Module) -> float:
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.cat(gradients)))


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    labels: Tensor = found["sft"].pop("labels")
    tokens: Tensor = found["sft"].pop("tokens")
    assert labels.tolist() == expected["sft"]["labels"]
    for row, theirs, answers in zip(
        tokens.tolist(), expected["sft"]["tokens"], labels.tolist(), strict=True
    ):
        end = max(at for at, label in enumerate(answers) if label != -100)
        assert row[: end + 1] == theirs[: end + 1]  # behind it is padding, each with its own token
    for kind in ("sft", "dpo"):
        theirs = {name: expected[kind][name] for name in found[kind]}
        for name, value in found[kind].items():
            assert value == pytest.approx(theirs[name], rel=NEAR, abs=NEAR), (kind, name)


def test_our_losses_are_those_that_trl_had(tmp_path: Path) -> None:
    assert RECORDED["versions"].keys() >= {"trl", "transformers", "torch"}
    compare(ours(tmp_path), RECORDED)


def test_the_recorded_numbers_tell_a_wrong_loss_from_a_right_one() -> None:
    sft, dpo = RECORDED["sft"], RECORDED["dpo"]
    whole = sum(token != 1 for row in sft["tokens"] for token in row)
    answers = sum(label != -100 for row in sft["labels"] for label in row)
    assert 0 < answers < whole
    assert max(dpo["losses"]) - min(dpo["losses"]) > 0.01
    assert all(abs(loss - 0.6931472) > 1e-3 for loss in dpo["losses"])  # the policy has moved


@pytest.mark.slow
def test_our_losses_are_those_of_the_installed_trl(tmp_path: Path) -> None:
    if "trl" not in versions.installed():
        pytest.skip("trl is not installed; test_our_losses_are_those_that_trl_had compares records")
    if reason := trl_reference.missing():
        pytest.skip(reason)
    start, policy = trl_reference.trained(), trl_reference.trained(1.01)
    theirs = {"sft": trl_reference.sft(start), "dpo": trl_reference.dpo(start, policy)}
    compare(ours(tmp_path), theirs)
