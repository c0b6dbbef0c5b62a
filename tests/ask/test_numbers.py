"""Right or wrong: rows and operators of a step, with a kernel that was made wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from wrong_kernels import Wrong, scaled

from metalassay.ask import contract, numbers

CPU = torch.device("cpu")
TEXT = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 3))
    def forward(self, x):
        return self.second(self.first(x.t()[::2].t().contiguous()))
def make(batch_size):
    return Model(), {"x": torch.randn(batch_size, 12), "y": torch.randint(3, (batch_size,))}
def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"])
"""


@pytest.fixture
def file(tmp_path: Path) -> contract.File:
    path = tmp_path / "mine.py"
    path.write_text(TEXT, "utf-8")
    return contract.File(path)


def test_a_device_that_is_right(file: contract.File) -> None:
    found = numbers.ask(file, CPU, 4)
    assert found.right
    assert not found.random  # dropout is off
    names = {(row.what, row.name) for row in found.rows}
    assert {("output", "first"), ("loss", ""), ("gradient", "second.0.weight")} <= names
    assert all(row.error <= row.allowed for row in found.rows)


def test_a_wrong_operator_is_named_with_its_module_and_its_line(file: contract.File) -> None:
    with Wrong("gelu", scaled):
        found = numbers.ask(file, CPU, 4)
    assert not found.right
    (first,) = found.differences
    assert (first.operator, first.module, first.place) == ("gelu", "second.1", "mine.py:10")
    assert "off by 0.0099" in first.what or "off by 0.01" in first.what


def test_what_the_step_draws_itself_makes_no_row_wrong(tmp_path: Path) -> None:
    path = tmp_path / "drawing.py"
    path.write_text(TEXT.replace("self.first(", "self.first(torch.rand(()) * "), "utf-8")
    found = numbers.ask(contract.File(path), CPU, 4)
    assert found.random
    assert found.right
