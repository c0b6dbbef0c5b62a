"""`metalassay ask` finds the wrong kernel of a device, and none where it is right: on the emulated mps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from wrong_kernels import Wrong, not_a_number, one_element, reversed_rows, scaled

from metalassay.ask import contract, numbers, transfers
from metalassay.ask.transfers import TO_CPU
from metalassay.errors import UserError

TEXT = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(128, 16)
        self.out = nn.Linear(16, 3)
    def forward(self, x):
        x = self.pool(nn.functional.gelu(self.norm(self.conv(x)))).flatten(1)
        x = self.linear(x)
        q = x.view(-1, 4, 4).transpose(1, 2)
        x = x + nn.functional.scaled_dot_product_attention(q, q, q).transpose(1, 2).reshape(-1, 16)
        return self.out(x.clone().mul_(1.5))
def make(batch_size):
    return Model(), {"x": torch.randn(batch_size, 3, 8, 8), "y": torch.randint(3, (batch_size,))}
def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"])
"""


@pytest.fixture
def file(tmp_path: Path) -> contract.File:
    path = tmp_path / "mine.py"
    path.write_text(TEXT, "utf-8")
    return contract.File(path)


def test_a_device_that_is_right(file: contract.File) -> None:
    found = numbers.ask(file, torch.device("mps"), 4)
    assert found.differences == ()
    assert found.elsewhere == ()
    assert min(found.varied.values()) > 15
    assert found.right
    assert found.emulated
    assert {why for why in found.skipped.values() if "uninitialised" not in why} == set()


@pytest.mark.parametrize(
    ("operator", "how"),
    [
        ("convolution", scaled),
        ("linear", one_element),
        ("linear_backward", scaled),
        ("max_pool2d", reversed_rows),
        ("max_pool2d_backward", scaled),
        ("_safe_softmax", not_a_number),
        ("transpose.int", reversed_rows),
        ("mul_.Tensor", scaled),
        ("native_batch_norm_backward", one_element),
    ],
)
def test_a_wrong_kernel_is_found(
    file: contract.File, operator: str, how: Callable[[Tensor], Tensor]
) -> None:
    with Wrong(operator, how, device="mps") as wrong:
        found = numbers.ask(file, torch.device("mps"), 4)
    assert wrong.made
    assert [each.operator for each in found.differences] == [operator]


def test_gradients_that_nobody_wants_are_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "lstm.py"
    text = """
import torch
from torch import nn
def make(batch_size):
    return nn.LSTM(4, 4, 2, dropout=0.5), torch.randn(5, batch_size, 4)
def loss(model, batch):
    return model(batch)[0].square().mean()
"""
    path.write_text(text, "utf-8")
    found = numbers.ask(contract.File(path), torch.device("mps"), 2)
    assert found.differences == ()
    assert found.right
    assert not found.random


def test_what_leaves_the_device_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = TEXT.replace(
        "        x = self.linear(x)\n",
        "        x = self.linear(x)\n        if x.mean().item() > 1e9: x = x / 2\n"
        "        x = x + x.mean(1).cpu().tanh().to(x.device)[:, None]\n",
    )
    assert text != TEXT
    path.write_text(text, "utf-8")
    found = transfers.ask(contract.File(path), torch.device("mps"), 4)
    to_cpu = {each.place: each.bytes for each in found.copies if each.direction == TO_CPU}
    assert to_cpu["mine.py:15"] == 4
    assert to_cpu["mine.py:16"] == 16
    assert ("to the device", "mine.py:16") in {
        (each.direction, each.place) for each in found.copies
    }
    assert found.step_seconds is None


def test_a_tensor_that_stays_on_the_cpu_is_the_files_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TEXT.replace("self.linear(x)", "self.linear(x) + torch.ones(16)"), "utf-8")
    mine = contract.File(path)
    contract.validate(mine, 4)  # nothing is wrong on the CPU
    with pytest.raises(UserError, match=r"loss on mps uses a tensor on another device \(line 14"):
        contract.validate_on(mine, 4, torch.device("mps"))
