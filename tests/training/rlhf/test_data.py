"""The task that the models of `train rlhf` learn, and its rule."""

from __future__ import annotations

import pytest

from metalassay.cli import rlhf_options
from metalassay.training.rlhf import data, trainers


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("moon key tree", 1.0),
        ("moon key", 2 / 3),
        ("moon key tree tree", 3 / 4),
        ("key moon tree", 1 / 3),
        ("", 0.0),
    ],
)
def test_the_reward_is_the_share_of_right_words(answer: str, reward: float) -> None:
    assert data.reward("repeat moon key tree :", answer) == pytest.approx(reward)


def test_examples_are_those_of_the_seed_and_never_held_out() -> None:
    made, held_out = data.examples(1, 500)
    assert data.examples(1, 500) == (made, held_out)
    assert data.examples(2, 500) != (made, held_out)
    prompts = [each.prompt for each in made + held_out]
    assert len(set(prompts)) == 500 + data.HELD_OUT
    for each in made:
        assert data.reward(each.prompt, each.chosen) == 1
        assert data.reward(each.prompt, each.rejected) == pytest.approx(2 / 3)


def test_the_command_knows_how_many_prompts_and_generations_there_are() -> None:
    made, held_out = data.examples(0, rlhf_options.MOST_PROMPTS)
    assert len({each.prompt for each in made + held_out}) == len(data.WORDS) ** data.ANSWER
    with pytest.raises(ValueError, match="13761 prompts"):
        data.examples(0, rlhf_options.MOST_PROMPTS + 1)
    assert rlhf_options.GENERATIONS == trainers.GENERATIONS
