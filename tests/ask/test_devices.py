"""CPU or GPU: rows by batch size, a device that fails, and from where on the GPU is faster."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.ask import contract, devices, template, training_step
from metalassay.ask.devices import Row, crossover
from metalassay.ask.pairs import Ratio


def test_each_batch_size_is_timed_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")
    make = training_step.make

    def some(file: contract.File, where: torch.device, batch_size: int) -> object:
        if where.type == "mps" and batch_size > 1:
            raise RuntimeError("MPS backend out of memory")
        return make(file, torch.device("cpu"), batch_size)

    monkeypatch.setattr(training_step, "make", some)
    one, two = devices.ask(contract.File(path), ["cpu", "mps"], (1, 2), 0.01)
    assert one.ratio is not None
    assert set(one.timings) == {"cpu", "mps"}
    assert two.ratio is None
    assert "out of memory" in two.failed["mps"]
    assert devices.here()["cpu"] == ""


def test_the_crossover_is_where_the_gpu_stays_faster() -> None:
    faster, slower, even = Ratio(0.5, 0.4, 0.6), Ratio(2, 1.5, 3), Ratio(1, 0.9, 1.1)

    def rows(*ratios: Ratio | None) -> list[Row]:
        return [Row(4**at, {}, {}, ratio) for at, ratio in enumerate(ratios)]

    assert crossover(rows(slower, faster, faster)) == 4
    assert crossover(rows(faster, even, faster)) == 16
    assert crossover(rows(faster, faster, even)) is None
    assert crossover(rows(faster, faster, None)) is None
    assert crossover([]) is None
