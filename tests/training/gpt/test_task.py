"""The mini GPT: its data, tokenizer, training, generation and what judges it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from train_command import jsonl, run

from metalassay.cli import main as cli
from metalassay.errors import UserError
from metalassay.results import load
from metalassay.training.gpt import dialogues as text
from metalassay.training.gpt import task
from metalassay.training.gpt.decoding import Decoder
from metalassay.training.gpt.generation import Sampling, distinct, generate, pick, repetition
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig

SMALLEST = TinyGPTConfig(vocabulary=50, context=16, layers=2, heads=2, channels=8)


def model(config: TinyGPTConfig = SMALLEST) -> TinyGPT:
    torch.manual_seed(0)
    made = TinyGPT(config).eval()
    with torch.no_grad():
        for each in made.parameters():
            each.mul_(5)  # small weights would hide a wrong mask
    return made


def test_200_dialogues_to_train_and_30_to_test_come_with_the_package() -> None:
    questions = {}
    for path, count in ((text.TRAINING, 200), (text.TEST, 30)):
        found = [line.text for line in text.lines(path)]
        assert len(found) == count
        for each in found:
            assert each is not None
            assert each.startswith(text.START)
            assert each.endswith(text.END)
            assert each.count(text.START) == each.count(text.END) == 2
            assert f"{text.END} {text.START}" in each
            assert text.has_message(each)
        questions[path] = {str(each).partition(text.END)[0] for each in found}
        assert len(questions[path]) == count
        chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in str(e)) for e in found)
        assert chinese == count // 2
    assert not questions[text.TRAINING] & questions[text.TEST]


def test_the_tokenizer_gives_back_any_text(tmp_path: Path) -> None:
    made = text.train_tokenizer(text.TRAINING, 372, text.Faults(text.TRAINING, False, print))
    assert made.get_vocab_size() == 372
    said = "Ночь 🌙 你好 <|im_start|>x<|im_end|>"
    assert made.decode(made.encode(said).ids, skip_special_tokens=False) == said
    assert len(made.encode(text.START).ids) == 1


def test_the_cache_gives_the_logits_of_the_whole_model() -> None:
    net, tokens = model(), torch.arange(12)[None] % 50
    with torch.inference_mode():
        whole = net(tokens)[0]
        decoder = Decoder(net)
        found = [decoder.read(tokens[0, :5].tolist())]
        found += [decoder.read([token]) for token in tokens[0, 5:].tolist()]
    torch.testing.assert_close(torch.stack(found), whole[4:], rtol=1e-4, atol=1e-4)


def test_generation_takes_the_likeliest_and_goes_past_the_context() -> None:
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


def test_the_same_seed_says_the_same_and_another_does_not() -> None:
    net = model()
    first, again, other = (
        list(generate(net, [1], 30, Sampling(1.5, 0, 1.0, seed))) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_top_k_top_p_and_temperature_leave_out_what_they_should() -> None:
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


def test_perplexity_of_a_model_that_knows_nothing_is_the_vocabulary() -> None:
    net = TinyGPT(tiny_gpt.TINY).eval()
    tokens = [each % 372 for each in range(0, 3000, 7)]
    with torch.inference_mode():
        found = task.judged(net, task.Held([tokens, tokens[:9]], 100))
    assert found["perplexity"] == pytest.approx(372, rel=0.02)
    bits = (len(tokens) - 1 + 8) * math.log2(372) / 100
    assert found["bits_per_byte"] == pytest.approx(bits, rel=0.02)


def test_a_dialogue_is_judged_alone_and_a_long_one_in_pieces() -> None:
    net = model()
    dialogues = [[1, 2, 3], [each % 50 for each in range(40)], [7], [9, 8]]  # the context is 16
    with torch.inference_mode():
        expected, count = 0.0, 0
        for each in dialogues:
            for start in range(0, len(each) - 1, 16):
                piece = torch.tensor([each[start : start + 17]])
                scores = net(piece[:, :-1])[0]
                expected += functional.cross_entropy(scores, piece[0, 1:], reduction="sum").item()
                count += piece.shape[1] - 1
        total, found = task.surprise(net, dialogues)
    assert found == count == 2 + 39 + 0 + 1
    assert total == pytest.approx(expected, rel=1e-5)


def test_the_marks_of_the_format_are_no_text_to_judge_by(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", f"{text.START}ab{text.END} {text.START}你{text.END}")
    faults = text.Faults(path, False, print)
    made = text.train_tokenizer(text.TRAINING, 372, faults)
    assert task.held(path, made, faults, 1000).bytes == len("ab 你".encode())
    path.write_text("no\n", "utf-8")
    with pytest.raises(UserError, match="no dialogue"):
        task.held(path, made, faults, 1000)
    assert faults.count == 1


def test_strict_finds_a_malformed_line_before_any_training(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl(path, f"{text.START}ab{text.END}")
    path.write_text(path.read_text("utf-8") + "not json\n", "utf-8")
    with pytest.raises(UserError, match="line 2: not JSON"):
        text.train_tokenizer(path, 372, text.Faults(path, True, print))


@pytest.mark.slow
def test_the_commands_train_generate_and_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    train = ["train", "gpt", "--steps", "40", "--device", "cpu", "--json", "-o", folder]
    assert run(monkeypatch, *train, "--evaluate-every", "20") == 0
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["loss"] == pytest.approx(math.log(372), abs=0.5)
    assert lines[-1]["validation_perplexity"] < 300
    said = [line for line in lines if "sample" in line]
    assert [line["step"] for line in said] == [20, 40]
    assert all(line["prompt"] == "What is a tide?" for line in said)
    assert lines[-1]["malformed_lines"] == 0
    assert not list(tmp_path.rglob("*.pkl"))
    assert list(tmp_path.rglob("*.json"))
    assert not load.load([folder]).warnings  # `metalassay report` knows a run's files

    assert run(monkeypatch, *train) == 2
    assert "--resume" in capsys.readouterr().err

    spoken = []
    for seed in ("1", "1", "2"):
        arguments = ["generate", folder, "Why?", "--seed", seed, "--temperature", "1.5"]
        assert run(monkeypatch, *arguments) == 0
        spoken.append(capsys.readouterr().out)
    assert spoken[0] == spoken[1] != spoken[2]
    assert text.START not in spoken[0]

    assert run(monkeypatch, "evaluate", folder, "--samples", "2", "--json") == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["perplexity"] == pytest.approx(lines[-1]["validation_perplexity"], rel=1e-6)
    assert set(judged) > {
        "bits_per_byte",
        "distinct_1",
        "distinct_2",
        "repetition_4",
        "malformed_lines",
    }


def test_a_folder_without_a_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", str(tmp_path), "Why?") == 2
    assert "metalassay train gpt" in capsys.readouterr().err


@pytest.mark.parametrize("coldest", [1e-320, 1e-38, 1e-31])
def test_a_temperature_too_low_for_float32_takes_the_likeliest(coldest: float) -> None:
    scores, chance = torch.tensor([0.5, 90.0, 89.9]), torch.Generator()
    assert pick(scores, Sampling(coldest), chance) == 1
    assert pick(scores * -1, Sampling(coldest), chance) == 0


def test_a_top_p_too_low_for_float32_leaves_the_likeliest() -> None:
    scores = torch.tensor([0.5, 2.0, 1.0])
    assert pick(scores, Sampling(1.0, top_p=1e-320), torch.Generator()) == 1


def test_a_missing_test_file_names_the_option_that_it_came_by(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    faults = text.Faults(path, False, print)
    with pytest.raises(UserError, match="--test FILE"):
        task.held(path, None, faults, 1)
    with pytest.raises(UserError, match="--data FILE"):
        text.train_tokenizer(path, 372, faults)


@pytest.mark.parametrize(
    "wrong", [["--top-k", "-1"], ["--top-p", "0"], ["--top-p", "1.1"], ["--temperature", "nan"]]
)
def test_sampling_that_means_nothing_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["generate", "folder", "Why?", *wrong])
    assert f"argument {wrong[0]}" in capsys.readouterr().err
