"""The program that shows a difference runs by itself, with the inputs as they were: strides and all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from wrong_kernels import Wrong, scaled

from metalassay.ask import reproducer
from metalassay.ask.first_difference import Compare, Difference


def found(x: torch.Tensor) -> Difference:
    compare = Compare(torch.device("cpu"))
    with Wrong("add.Tensor", scaled), compare:
        torch.add(x.t(), x.t()[:, :1], alpha=2)
    (difference,) = compare.found.values()
    return difference


def test_it_prints_the_largest_difference(tmp_path: Path) -> None:
    program, inputs = reproducer.write(found(torch.rand(3, 4)), "cpu", tmp_path / "shown")
    text = program.read_text("utf-8")
    assert "t0.as_strided((4, 3), (1, 4), 0), t0.as_strided((4, 1), (1, 4), 0), alpha=2" in text
    assert len(text.splitlines()) < 16
    assert inputs.is_file()
    run = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    difference, version = run.stdout.split()
    assert float(difference) == 0  # the kernel is right in that process
    assert version == torch.__version__


def test_arguments_are_written_as_python(tmp_path: Path) -> None:
    inputs = reproducer._Inputs()
    values = [None, True, 3, torch.float16, torch.device("cpu"), [1, 2], float("inf"), 0.5]
    assert [inputs.code(each) for each in values] == [
        *("None", "True", "3", "torch.float16", "device", "[1, 2]", "float('inf')", "float('0.5')"),
    ]
