"""How good a model is, on prompts that it has not seen: the same figures in every release of TRL.

Answers are drawn from a seed of their own, and the random numbers of the training stay where they were.
"""

from __future__ import annotations

from typing import Any

import torch

from metalassay.measure import device
from metalassay.training.rlhf import data
from metalassay.training.rlhf.data import Example

SEED = 0
MOST_TOKENS = (
    data.ANSWER + 2
)  # one more than a right answer and its end, so that it can be too long


def answers(model: Any, words: Any, made: list[Example]) -> list[str]:
    """Return an answer to each prompt, drawn as the model likes, from one seed."""
    where = next(model.parameters()).device
    was_training = model.training
    model.eval()
    encoded = words([each.prompt for each in made], return_tensors="pt", padding=True).to(where)
    before = device.rng_state(where)
    device.set_rng_state(where, None, SEED)
    with torch.no_grad():
        made_ids = model.generate(
            **encoded,
            do_sample=True,
            top_k=0,
            max_new_tokens=MOST_TOKENS,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    device.set_rng_state(where, before)
    model.train(was_training)
    texts: list[str] = words.batch_decode(
        made_ids[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return texts


def answered(model: Any, words: Any, made: list[Example]) -> dict[str, float]:
    """Return the mean reward by the rule, and the share of right answers."""
    scores = [
        data.reward(each.prompt, said)
        for each, said in zip(made, answers(model, words, made), strict=True)
    ]
    return {
        "reward": sum(scores) / len(scores),
        "right_answers": sum(score == 1 for score in scores) / len(scores),
    }


def whole(prompt: str, answer: str) -> str:
    """Return a prompt and its answer as one text, with the token that ends an answer."""
    return f"{prompt} {answer} {data.END}"


def scored(critic: Any, model: Any, words: Any, made: list[Example]) -> dict[str, float]:
    """Return the mean score by a reward model of the model's answers."""
    said = answers(model, words, made)
    texts = [whole(each.prompt, text) for each, text in zip(made, said, strict=True)]
    return {"reward_model_score": float(scores(critic, words, texts).mean())}


def scores(critic: Any, words: Any, texts: list[str]) -> torch.Tensor:
    """Return what a reward model says of each text."""
    where = next(critic.parameters()).device
    was_training = critic.training
    critic.eval()
    with torch.no_grad():
        rows = _padded_right(words, texts)
        found: torch.Tensor = critic(**rows.to(where)).logits[:, 0].float().cpu()
    critic.train(was_training)
    return found


def _padded_right(words: Any, texts: list[str]) -> Any:
    # As TRL does: the model reads the score at the last token that is no padding.
    before, words.padding_side = words.padding_side, "right"
    try:
        return words(texts, padding=True, return_tensors="pt")
    finally:
        words.padding_side = before


def answer_loss(model: Any, words: Any, made: list[Example]) -> dict[str, float]:
    """Return the mean loss of the tokens of the right answers, their end included."""
    chosen = _answer_log_probabilities(model, words, made, "chosen")
    return {"answer_loss": -float(chosen.mean()) / (data.ANSWER + 1)}


def preference(model: Any, reference: Any, words: Any, made: list[Example]) -> dict[str, float]:
    """Return the margin in log-probability that the model prefers right answers by, above the reference's."""
    margins = [
        _answer_log_probabilities(each, words, made, "chosen")
        - _answer_log_probabilities(each, words, made, "rejected")
        for each in (model, reference)
    ]
    return {
        "preference_margin": float((margins[0] - margins[1]).mean()),
        "prefers_right": float((margins[0] > 0).float().mean()),
    }


def judged(critic: Any, words: Any, made: list[Example]) -> dict[str, float]:
    """Return the loss of a reward model, and the share of pairs of which it prefers the right answer."""
    both = [
        scores(critic, words, [whole(each.prompt, getattr(each, kind)) for each in made])
        for kind in ("chosen", "rejected")
    ]
    margin = both[0] - both[1]
    return {
        "loss": float(-torch.nn.functional.logsigmoid(margin).mean()),
        "accuracy": float((margin > 0).float().mean()),
    }


def _answer_log_probabilities(
    model: Any, words: Any, made: list[Example], kind: str
) -> torch.Tensor:
    where = next(model.parameters()).device
    was_training = model.training
    model.eval()
    # Every prompt has as many tokens, and so has every answer: nothing is padded.
    texts = [whole(each.prompt, getattr(each, kind)) for each in made]
    ids = words(texts, return_tensors="pt")["input_ids"].to(where)
    with torch.no_grad():
        logits = model(ids).logits[:, data.PROMPT - 1 : -1].float()
    model.train(was_training)
    each: torch.Tensor = logits.log_softmax(-1).gather(-1, ids[:, data.PROMPT :, None])
    return each.squeeze(-1).sum(-1).cpu()
