"""A training of a few steps on four numbers, for what the loop promises of any training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metalassay.training.loop import Outcome, Recipe, Task, train
from metalassay.workloads.registry import Batch

CPU = torch.device("cpu")


class Numbers:
    """Batches that follow from a number."""

    def __init__(self) -> None:
        self.index = 0

    def next(self) -> Batch:
        generator = torch.Generator().manual_seed(self.index)
        self.index += 1
        x = torch.randn(8, 4, generator=generator)
        return Batch((x,), x.sum(1, keepdim=True))

    def position(self) -> int:
        return self.index

    def seek(self, position: int) -> None:
        self.index = position


def task(**config: Any) -> Task:
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.mse_loss(model(*batch.inputs), batch.target)

    return Task({"width": 8, **config}, model, Numbers(), loss, "samples", 8)


def run(folder: Path, steps: int = 20, **options: Any) -> Outcome:
    config = options.pop("config", {})
    return train(task(**config), Recipe(steps, 1e-2, accumulate=2), folder, CPU, **options)


def digest(folder: Path) -> str:
    """Return the hash of all that the newest checkpoint holds, tensors and state."""
    newest = max(folder.glob("step-*"))
    state = json.loads((newest / "state.json").read_text("utf-8"))
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
