"""What a program written for CUDA calls in vain: that it is in vain, and that it is listed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.checkpoint import checkpoint


def test_an_autocast_for_cuda_does_nothing_and_switches_nothing_off() -> None:
    matrix = torch.ones(2, 2, device="mps")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autocast("cuda", dtype=torch.float16):
            assert (matrix @ matrix).dtype == torch.float32
    with torch.autocast("mps", dtype=torch.float16):
        with torch.autocast("cuda", enabled=False):
            assert (matrix @ matrix).dtype == torch.float16
        with torch.autocast("mps", enabled=False):
            assert (matrix @ matrix).dtype == torch.float32
        assert not torch.is_autocast_enabled()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_dropout_inside_a_checkpoint_draws_another_mask_on_mps(
    device: str, reentrant: bool
) -> None:
    values = torch.ones(1000, device=device, requires_grad=True)
    dropout = torch.nn.Dropout(0.5)
    out = checkpoint(lambda x: dropout(x * x), values, use_reentrant=reentrant)
    out.sum().backward()
    assert values.grad is not None
    assert torch.equal(out != 0, values.grad != 0) == (device == "cpu")


def test_the_end_of_a_program_lists_such_calls_by_line(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import torch\n\ntorch.cuda.amp.GradScaler()\ntorch.ones(1, device='mps')\n")
    command = [sys.executable, "-m", "metalassay.mps.emulator.run_child", "", "--", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "at:       train.py:3\n" in done.stderr
