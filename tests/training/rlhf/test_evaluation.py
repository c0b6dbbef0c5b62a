"""How good a model is, by figures that no release of TRL computes."""

from __future__ import annotations

import pytest
import torch

from metalassay.training.rlhf import data, evaluation, models

pytest.importorskip("transformers")

MADE, _ = data.examples(0, 8)


def test_evaluation_leaves_the_random_numbers_and_the_mode_alone() -> None:
    model, words = models.policy("tiny", 0).train(), data.tokenizer()
    before = torch.get_rng_state()
    first = evaluation.answered(model, words, MADE)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    torch.rand(3)
    assert evaluation.answered(model, words, MADE) == first


def test_the_answer_loss_is_the_models_own_with_the_prompt_masked() -> None:
    model, words = models.policy("tiny", 0), data.tokenizer()
    texts = [evaluation.whole(each.prompt, each.chosen) for each in MADE]
    ids = words(texts, return_tensors="pt")["input_ids"]
    labels = ids.clone()
    labels[:, : data.PROMPT] = -100
    expected = float(model(ids, labels=labels).loss)
    assert evaluation.answer_loss(model, words, MADE)["answer_loss"] == pytest.approx(expected)


def test_a_score_does_not_depend_on_the_texts_beside_it() -> None:
    critic, words = models.critic("tiny", 0), data.tokenizer()
    short, long = "repeat key key key : key <end>", "repeat key key key : key moon tree jar <end>"
    both = evaluation.scores(critic, words, [short, long])
    assert float(both[0]) == pytest.approx(float(evaluation.scores(critic, words, [short])[0]))
    assert both[0] != both[1]
    assert words.padding_side == "left"


def test_a_model_prefers_nothing_above_itself() -> None:
    model, words = models.policy("tiny", 0), data.tokenizer()
    assert evaluation.preference(model, model, words, MADE)["preference_margin"] == 0
    other = models.policy("tiny", 1)
    assert evaluation.preference(model, other, words, MADE)["preference_margin"] != 0
