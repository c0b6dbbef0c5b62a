"""The tiny model and Trainer: always the same, and small."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.environment import versions

if not {"torch", "accelerate", "transformers"} <= versions.installed().keys():
    pytest.skip("torch, accelerate or transformers is not installed", allow_module_level=True)

import torch

from metalassay.testing import tiny_trainer


def test_the_model_has_the_same_weights_every_time() -> None:
    first, second = (tiny_trainer.gpt2().state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_model_takes_other_settings() -> None:
    assert tiny_trainer.gpt2(n_layer=2).config.n_layer == 2


def test_the_datasets_yield_the_rows_of_their_indices() -> None:
    rows, stream = tiny_trainer.Rows(3), tiny_trainer.Stream(3)
    assert len(rows) == 3
    assert not hasattr(stream, "__len__")
    for index, row in enumerate(stream):
        assert torch.equal(row["input_ids"], rows[index]["input_ids"])
        assert torch.equal(row["labels"], row["input_ids"])
    assert not torch.equal(rows[0]["input_ids"], rows[1]["input_ids"])


@pytest.mark.slow
def test_the_trainer_trains_and_writes_to_its_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    trainer = tiny_trainer.trainer(folder, tiny_trainer.Rows(4), max_steps=2)
    assert trainer.train().global_step == 2
    assert {path.name for path in tmp_path.iterdir()} <= {"out"}
