"""The mini GPT: its evaluation, and the commands that train, generate and evaluate."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tiny_gpt_model import model
from torch.nn import functional
from train_command import jsonl, run

from metalassay.errors import UserError
from metalassay.results import load
from metalassay.training.gpt import dialogues, task, tokenizer
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPT


def test_the_perplexity_of_an_untrained_model_is_the_size_of_the_vocabulary() -> None:
    net = TinyGPT(tiny_gpt.TINY).eval()
    tokens = [each % 372 for each in range(0, 3000, 7)]
    with torch.inference_mode():
        found = task.perplexity(net, task.HeldOut([tokens, tokens[:9]], 100))
    assert found["perplexity"] == pytest.approx(372, rel=0.02)
    bits = (len(tokens) - 1 + 8) * math.log2(372) / 100
    assert found["bits_per_byte"] == pytest.approx(bits, rel=0.02)


def test_each_dialogue_is_evaluated_alone_and_a_long_one_in_pieces() -> None:
    net = model()
    encoded = [[1, 2, 3], [each % 50 for each in range(40)], [7], [9, 8]]  # the context is 16
    with torch.inference_mode():
        expected, count = 0.0, 0
        for each in encoded:
            for start in range(0, len(each) - 1, 16):
                piece = torch.tensor([each[start : start + 17]])
                scores = net(piece[:, :-1])[0]
                expected += functional.cross_entropy(scores, piece[0, 1:], reduction="sum").item()
                count += piece.shape[1] - 1
        total, found = task.total_loss(net, encoded)
    assert found == count == 2 + 39 + 0 + 1
    assert total == pytest.approx(expected, rel=1e-5)


def test_the_markers_of_the_format_do_not_count_as_text(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        f"{dialogues.START}ab{dialogues.END} {dialogues.START}你{dialogues.END}",
    )
    faults = dialogues.Faults(path, False, print)
    made = tokenizer.train(dialogues.TRAINING, 372, faults).tokenizer
    assert task.read_held_out(path, made, faults, 1000).bytes == len("ab 你".encode())
    path.write_text("no\n", "utf-8")
    with pytest.raises(UserError, match="no dialogue"):
        task.read_held_out(path, made, faults, 1000)
    assert faults.count == 1


@pytest.mark.slow
def test_the_commands_train_generate_and_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    train = ["train", "gpt", "--steps", "40", "--device", "cpu", "--json", "-o", folder]
    assert run(monkeypatch, *train, "--evaluate-every", "20") == 0
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["loss"] == pytest.approx(math.log(372), abs=0.5)
    assert lines[-1]["validation_perplexity"] < 300
    samples = [line for line in lines if "sample" in line]
    assert [line["step"] for line in samples] == [20, 40]
    assert all(line["prompt"] == "What is a tide?" for line in samples)
    assert lines[-1]["malformed_lines"] == 0
    assert not list(tmp_path.rglob("*.pkl"))
    assert list(tmp_path.rglob("*.json"))
    assert not load.load([folder]).warnings  # `metalassay report` knows a run's files

    assert run(monkeypatch, *train) == 2
    assert "--resume" in capsys.readouterr().err

    answers = []
    for seed in ("1", "1", "2"):
        arguments = ["generate", folder, "Why?", "--seed", seed, "--temperature", "1.5"]
        assert run(monkeypatch, *arguments) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] != answers[2]
    assert dialogues.START not in answers[0]

    assert run(monkeypatch, "evaluate", folder, "--samples", "2", "--json") == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["perplexity"] == pytest.approx(lines[-1]["validation_perplexity"], rel=1e-6)
    assert set(evaluation) > {
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


def test_a_missing_file_is_reported_with_its_option(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    faults = dialogues.Faults(path, False, print)
    with pytest.raises(UserError, match="--test FILE"):
        task.read_held_out(path, None, faults, 1)
    with pytest.raises(UserError, match="--data FILE"):
        tokenizer.train(path, 372, faults)
