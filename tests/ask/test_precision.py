"""16 bits: less kept, larger errors, and a reason where a format is not there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from metalassay.ask import contract, precision, template
from metalassay.errors import UserError

CPU = torch.device("cpu")


def test_sixteen_bits_keep_less_and_are_off_by_more(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = template.text().replace(
        "nn.Linear(32, 64), nn.ReLU()", "nn.Linear(32, 64), nn.Linear(64, 64), nn.ReLU()"
    )
    path.write_text(text, "utf-8")
    rows = {row.dtype: row for row in precision.ask(contract.File(path), CPU, 64, 0.01)}
    plain, half = rows["float32"], rows["bfloat16"]
    assert plain.loss_error is not None
    assert half.loss_error is not None
    assert plain.gradient_error is not None
    assert half.gradient_error is not None
    assert plain.loss_error < 1e-6 < half.loss_error
    assert plain.gradient_error < 1e-6 < 1e-4 < half.gradient_error < 0.1
    assert plain.kept
    assert half.ratio is not None


def test_a_format_that_the_device_lacks_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")

    def refuse(where: torch.device, dtype: str) -> None:
        raise UserError(f"no autocast to {dtype}", "float32")

    monkeypatch.setattr(precision, "require_autocast", refuse)
    rows = {row.dtype: row for row in precision.ask(contract.File(path), CPU, 4, 0.01)}
    assert rows["float16"].why == "no autocast to float16"
    assert rows["float16"].timing is None


def test_a_number_that_is_missing_on_one_side_is_an_error_of_nan() -> None:
    one, best = torch.tensor([1.0, math.inf]), torch.tensor([1.0, 2.0])
    assert math.isnan(precision._error([one], [best]))
    assert precision._error([best], [best]) == 0
