"""Drawing the next token, and measuring how varied the generated text is."""

from __future__ import annotations

import pytest
import torch
from tiny_gpt_model import model

from metalassay.cli import main as cli
from metalassay.training.gpt.generation import Sampling, distinct, generate, pick, repetition


def test_greedy_generation_takes_the_likeliest_and_continues_past_the_context() -> None:
    net = model()
    greedy = Sampling(temperature=0)
    made = list(generate(net, [1, 2, 3], 40, greedy))
    assert len(made) == 40
    seen = [1, 2, 3]
    with torch.inference_mode():
        for token in made[:13]:  # as far as the context reaches
            assert token == int(net(torch.tensor([seen]))[0, -1].argmax())
            seen.append(token)
    with torch.inference_mode():  # full: the last half is read again, and grows from there
        for number, left in ((14, 8), (15, 9), (21, 15)):
            seen = [1, 2, 3, *made[:number]][-left:]
            assert made[number] == int(net(torch.tensor([seen]))[0, -1].argmax())
    stop = made[4]
    assert list(generate(net, [1, 2, 3], 40, greedy, stop)) == made[: made.index(stop)]
    with pytest.raises(ValueError, match="empty prompt"):
        list(generate(net, [], 1, greedy))


def test_the_same_seed_gives_the_same_text_and_another_does_not() -> None:
    net = model()
    first, again, other = (
        list(generate(net, [1], 30, Sampling(1.5, 0, 1.0, seed))) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_top_k_top_p_and_temperature_change_the_distribution_as_defined() -> None:
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()

    def drawn(sampling: Sampling) -> list[float]:
        generator = torch.Generator().manual_seed(0)
        found = [pick(scores, sampling, generator) for _ in range(3000)]
        return [found.count(i) / 3000 for i in range(4)]

    assert drawn(Sampling(1, 0, 1.0)) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.04)
    assert drawn(Sampling(1, 2, 1.0)) == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
    assert drawn(Sampling(1, 0, 0.7)) == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
    squares = [0.25, 0.09, 0.0225, 0.0025]
    expected = [each / sum(squares) for each in squares]
    assert drawn(Sampling(0.5, 0, 1.0)) == pytest.approx(expected, abs=0.04)
    assert drawn(Sampling(0)) == [1, 0, 0, 0]


def test_distinct_and_repetition_count_grams() -> None:
    assert distinct([[1, 2, 1, 2]], 1) == 0.5
    assert distinct([[1, 2, 1, 2]], 2) == pytest.approx(2 / 3)
    assert distinct([[], [1]], 2) == 0
    assert repetition([[1, 1, 1, 1, 1, 1]]) == pytest.approx(2 / 3)
    assert repetition([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]) == 0


@pytest.mark.parametrize("coldest", [1e-320, 1e-38, 1e-31])
def test_a_temperature_too_low_for_float32_takes_the_likeliest(coldest: float) -> None:
    scores, chance = torch.tensor([0.5, 90.0, 89.9]), torch.Generator()
    assert pick(scores, Sampling(coldest), chance) == 1
    assert pick(scores * -1, Sampling(coldest), chance) == 0


def test_a_top_p_too_low_for_float32_leaves_the_likeliest() -> None:
    scores = torch.tensor([0.5, 2.0, 1.0])
    assert pick(scores, Sampling(1.0, top_p=1e-320), torch.Generator()) == 1


@pytest.mark.parametrize(
    "wrong", [["--top-k", "-1"], ["--top-p", "0"], ["--top-p", "1.1"], ["--temperature", "nan"]]
)
def test_invalid_sampling_options_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["generate", "folder", "Why?", *wrong])
    assert f"argument {wrong[0]}" in capsys.readouterr().err
