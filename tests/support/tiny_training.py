"""A training of a few steps on four numbers, to test what the loop promises for any training."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metalassay.training.loop import Outcome, Recipe, Task, train
from metalassay.workloads.registry import Batch

CPU = torch.device("cpu")
# A run of 200 steps to kill from outside: it prints each step and then waits a moment.
_PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from tiny_training import CPU, task
from metalassay.training.loop import Recipe, train
def report(progress):
    print(progress.step, flush=True)
    time.sleep({pause})
outcome = train(task(), Recipe(200, 1e-2, accumulate=2), Path({folder!r}), CPU,
    resume={resume}, checkpoint_every=20, report_every=1, report=report)
print(outcome.step, outcome.stopped_by)
"""


class Numbers:
    """Batches that depend on nothing but their number."""

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
    """Return the hash of everything in the newest checkpoint, tensors and state."""
    newest = max(folder.glob("step-*"))
    state = json.loads((newest / "state.json").read_text("utf-8"))
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def start(folder: Path, resume: bool = False, pause: float = 0.0) -> subprocess.Popen[str]:
    """Start a run of 200 steps in another process; it sleeps ``pause`` seconds after each step."""
    here = str(Path(__file__).parent)
    code = _PROGRAM.format(here=here, folder=str(folder), resume=resume, pause=pause)
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for_step(child: subprocess.Popen[str], step: int) -> None:
    """Wait until the run that ``start`` returned has reported ``step``."""
    assert child.stdout
    for line in child.stdout:
        if line.startswith(f"{step}"):
            return
    raise AssertionError(f"ended before step {step}")
