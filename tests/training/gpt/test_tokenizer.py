"""The tokenizer of a run: trained for it, stored with it, and checked when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_training import CPU
from train_command import jsonl, marked_jsonl, run

from metalassay.errors import UserError
from metalassay.training import checkpoint
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.config_check import config_hash
from metalassay.training.gpt import dialogues, task, tokenizer
from metalassay.training.loop import Recipe
from metalassay.training.loop import train as train_task
from metalassay.training.run_folder import RunFolder
from metalassay.workloads.models.tiny_gpt import TinyGPT

# What a checkpoint has beside its tensors, of a run that has just begun.
STATE = {
    "position": {},
    "updates": 1,
    "scaler": {},
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.13.0"},
}


def kept(folder: Path) -> dict[str, Any]:
    """Write a tokenizer into ``folder`` and return the configuration of the run that it belongs to."""
    made = tokenizer.train(
        dialogues.TRAINING, 300, dialogues.Faults(dialogues.TRAINING, False, print)
    )
    for name, written in made.files().items():
        (folder / name).write_text(written, "utf-8")
    return {"workload": "gpt", "tokenizer": made.digest}


def test_a_new_run_trains_its_own_tokenizer(tmp_path: Path) -> None:
    kept(tmp_path)
    data, folder = marked_jsonl(tmp_path / "a.jsonl", "ab", "abc"), RunFolder(tmp_path, None)
    new, made, _ = task.task("tiny", folder, data, data, 1, 0, False, print)
    assert made.get_vocab_size() < 300  # so little text has no more
    train_task(new, Recipe(1, 1e-3), tmp_path, CPU)
    found = checkpoint.newest(tmp_path)
    assert found
    assert tokenizer.read(tmp_path, found.config).tokenizer.to_str() == made.to_str()


def test_a_resumed_run_keeps_its_tokenizer(tmp_path: Path) -> None:
    config = kept(tmp_path)
    data, folder = (
        marked_jsonl(tmp_path / "a.jsonl", "ab"),
        RunFolder(tmp_path, Checkpoint(1, config, {}, {})),
    )
    old, made, _ = task.task("tiny", folder, data, data, 1, 0, False, print)
    assert made.get_vocab_size() == 300
    assert old.config["tokenizer"] == config["tokenizer"]


def test_a_tokenizer_that_is_missing_damaged_or_different_is_reported(tmp_path: Path) -> None:
    config = kept(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_text("utf-8")
    assert tokenizer.read(tmp_path, config).tokenizer.get_vocab_size() == 300
    for broken, message in (
        (b"", "is damaged"),
        (b"\xff", "is damaged"),
        (whole.encode()[:-9], "is damaged"),
        (b"{}", "is not the tokenizer"),
        (whole.replace('"Ġ"', '"?"').encode(), "is not the tokenizer"),
    ):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=message):
            tokenizer.read(tmp_path, config)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*tokenizer\.json: No such file"):
        tokenizer.read(tmp_path, config)


def test_the_digest_of_a_tokenizer_is_the_same_as_in_earlier_versions(tmp_path: Path) -> None:
    made = tokenizer.train(
        dialogues.TRAINING, 300, dialogues.Faults(dialogues.TRAINING, False, print)
    )
    assert made.digest == config_hash({"json": made.tokenizer.to_str()})


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_a_model_without_its_tokenizer_or_with_nan_weights_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    arguments = [command, str(tmp_path), *(["Why?"] if command == "generate" else [])]
    config = {**kept(tmp_path), "size": "tiny", "recipe": {"peak_rate": 0.5}}
    model = TinyGPT(task.SIZES["tiny"])
    tensors = {f"model.{name}": each for name, each in model.state_dict().items()}
    checkpoint.save(tmp_path, Checkpoint(1, config, tensors, STATE))
    (tmp_path / "tokenizer.json").rename(tmp_path / "away")
    assert run(monkeypatch, *arguments) == 2
    assert "tokenizer.json: No such file" in capsys.readouterr().err
    (tmp_path / "away").rename(tmp_path / "tokenizer.json")
    next(iter(tensors.values())).fill_(float("nan"))
    checkpoint.save(tmp_path, Checkpoint(2, config, tensors, STATE))
    assert run(monkeypatch, *arguments) == 2
    assert "the weights are not finite after step 2" in capsys.readouterr().err


def test_any_text_survives_encoding_and_decoding(tmp_path: Path) -> None:
    faults = dialogues.Faults(dialogues.TRAINING, False, print)
    made = tokenizer.train(dialogues.TRAINING, 372, faults).tokenizer
    assert made.get_vocab_size() == 372
    text = "Ночь 🌙 你好 <|im_start|>x<|im_end|>"
    assert made.decode(made.encode(text).ids, skip_special_tokens=False) == text
    assert len(made.encode(dialogues.START).ids) == 1


def test_strict_finds_a_malformed_line_before_any_training(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl(path, f"{dialogues.START}ab{dialogues.END}")
    path.write_text(path.read_text("utf-8") + "not json\n", "utf-8")
    with pytest.raises(UserError, match="line 2: not JSON"):
        tokenizer.train(path, 372, dialogues.Faults(path, True, print))
