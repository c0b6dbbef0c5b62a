"""A run with every option of the recipe resumes bit for bit, and one without them has the checkpoint that it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metalassay.errors import UserError
from metalassay.training import checkpoint
from metalassay.training.loop import Progress, Recipe, train
from metalassay.training.transit import task as transit
from metalassay.training.transit.task import Curves

CPU = torch.device("cpu")
ALL = {"schedule": "cosine", "warm_up": 4, "decay_groups": "matrices", "ema": 0.9, "clip": 0.5}


class KilledError(Exception):
    """Stands for a kill after a checkpoint: what follows it is lost."""


def curves(count: int, seed: int) -> Curves:
    generator = torch.Generator().manual_seed(seed)
    whole, near = (torch.randn(count, 1, bins, generator=generator) for bins in (64, 32))
    return Curves(whole, near, (torch.arange(count) % 2).float())


def run(
    folder: Path, *, killed_at: int = 0, resume: bool = False, mixup: float = 0.3, **recipe: Any
) -> Any:
    """Train 12 steps of 8 curves with a checkpoint every 5; return the last checkpoint."""
    sets = {name: curves(40, number) for number, name in enumerate(("train", "validation", "test"))}
    task = transit.task("guide", sets, 40, 4, 3, 2, None, 0.1, mixup)

    def report(progress: Progress) -> None:
        if progress.step == killed_at:
            raise KilledError

    settings = Recipe(12, 5e-3, accumulate=2, seed=3, **{**ALL, **recipe})
    train(
        task,
        settings,
        folder,
        CPU,
        resume=resume,
        checkpoint_every=5,
        report_every=1,
        report=report,
    )
    return checkpoint.newest(folder, print)


@pytest.mark.parametrize("killed_at", [6, 11])
def test_every_option_resumes_with_the_same_bits(tmp_path: Path, killed_at: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "killed", killed_at=killed_at)
    resumed = run(tmp_path / "killed", resume=True)
    assert resumed.step == whole.step == 12
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert any(name.startswith("average.") for name in whole.tensors)
    for name, tensor in whole.tensors.items():
        assert torch.equal(resumed.tensors[name], tensor), name


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("schedule", "constant"),
        ("decay_groups", "all"),
        ("ema", 0.5),
        ("clip", 1.0),
        ("mixup", 0.0),
    ],
)
def test_an_option_that_changes_is_refused_by_its_name(
    tmp_path: Path, option: str, value: Any
) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, killed_at=6)
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} or --recipe"):
        run(tmp_path, resume=True, **{option: value})


def test_without_options_the_checkpoint_has_no_trace_of_them(tmp_path: Path) -> None:
    sets = {name: curves(40, number) for number, name in enumerate(("train", "validation", "test"))}
    task = transit.task("guide", sets, 40, 4, 3, 1)
    train(task, Recipe(2, 5e-3, seed=3), tmp_path, CPU)
    saved = checkpoint.newest(tmp_path, print)
    assert saved is not None
    assert not any(name.startswith("average.") for name in saved.tensors)
    assert set(saved.config) == {"workload", "size", "curves", "batch_size", "seed", "recipe"}
    assert set(saved.config["recipe"]) == {
        *(
            "steps",
            "peak_rate",
            "weight_decay",
            "betas",
            "momenta",
            "clip",
            "accumulate",
            "warm_up",
        ),
        *("dtype", "seed"),
    }


def test_the_model_is_evaluated_and_left_with_its_averaged_weights(tmp_path: Path) -> None:
    saved = run(tmp_path)
    names = [name.removeprefix("average.") for name in saved.tensors if name.startswith("average.")]
    assert names
    assert any(
        not torch.equal(saved.tensors[f"average.{name}"], saved.tensors[f"model.{name}"])
        for name in names
    )
