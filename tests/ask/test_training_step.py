"""A training step of the user's model: it learns, in each number format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.ask import contract, template, training_step

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_returns_the_loss_and_moves_the_weights(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")
    seen: list[torch.nn.Module] = []

    def around(model: torch.nn.Module) -> torch.nn.Module:
        seen.append(model)
        return model

    step = training_step.make(contract.File(path), CPU, 4, dtype, around)
    before = [each.detach().clone() for each in seen[0].parameters()]
    first = float(step())
    for _ in range(5):
        last = float(step())
    assert last < first
    moved = zip(before, seen[0].parameters(), strict=True)
    assert all(not torch.equal(one, other) for one, other in moved)
