"""torch.compile: one real compilation, and one that fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from metalassay.ask import compiled, contract, template

CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path: Path) -> contract.File:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")
    return contract.File(path)


@pytest.mark.slow
def test_the_same_loss_and_what_compiling_costs(
    file: contract.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")  # as inductor, without a C++ compiler
    found = compiled.ask(file, CPU, 4, 0.01)
    assert found.why == ""
    assert found.same
    assert found.graphs == 1
    assert found.breaks == ()
    assert found.compile_seconds is not None
    assert found.layout is None  # no convolution


def test_what_does_not_compile_has_its_cause(
    file: contract.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: torch.nn.Module, backend: str) -> torch.nn.Module:
        try:
            raise OSError("no C++ compiler")
        except OSError as error:
            raise RuntimeError("backend failed") from error

    monkeypatch.setattr(torch, "compile", refuse)
    found = compiled.ask(file, CPU, 4, 0.01)
    assert "no C++ compiler" in found.why
    assert not found.same


@pytest.mark.slow
def test_a_loss_that_goes_around_the_model_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    path = tmp_path / "around.py"
    path.write_text(
        template.text().replace(
            'model(batch["x"])', 'getattr(model, "_orig_mod", model)(batch["x"])'
        ),
        "utf-8",
    )
    found = compiled.ask(contract.File(path), CPU, 4, 0.01)
    assert "nothing was compiled: loss(model, batch) does not compute by calling" in found.why


LOOP = """
import torch
from torch import nn

class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 1)

    def forward(self, x):
        for i in range(2):
            print("step", i)
            x = x + 1
        return self.a(x)

def make(batch_size):
    return Loop(), {"x": torch.randn(batch_size, 4)}

def loss(model, batch):
    return model(batch["x"]).square().mean()
"""


@pytest.mark.slow
def test_a_forward_that_torch_runs_as_it_is_has_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    path = tmp_path / "loop.py"
    path.write_text(LOOP, "utf-8")
    found = compiled.ask(contract.File(path), CPU, 4, 0.01)
    assert found.why.startswith("nothing was compiled: torch runs its forward() without compiling")
    assert found.breaks
    assert found.breaks[0] in found.why


CONVOLUTION = """
import torch
from torch import nn

def make(batch_size):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 1))
    return model, {"x": torch.randn(batch_size, 3, 8, 8)}

def loss(model, batch):
    return model(batch["x"]).square().mean()
"""


# In a process of its own, as `ask` compiles: inductor imports setuptools, which refuses to where distutils is imported.
ASK = """
import dataclasses, json, os, sys
from pathlib import Path
import torch
from torch._inductor.graph import GraphLowering
from metalassay.ask import compiled, contract

decided, folders = [], set()
decide = GraphLowering.decide_layout_opt

def noted(*arguments, **named):
    folders.add(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    decided.append(decide(*arguments, **named))
    return decided[-1]

GraphLowering.decide_layout_opt = staticmethod(noted)
found = compiled.ask(contract.File(Path(sys.argv[1])), torch.device("cpu"), 4, 0.01)
said = {"decided": decided, "folders": len(folders), "left": os.environ["TORCHINDUCTOR_CACHE_DIR"]}
print(json.dumps(said | {"same": found.same} | dataclasses.asdict(found)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_a_step_with_convolutions_is_compiled_without_layout_optimization_too(
    tmp_path: Path,
) -> None:
    path, mine = tmp_path / "convolution.py", tmp_path / "mine"
    path.write_text(CONVOLUTION, "utf-8")
    output = subprocess.check_output(
        [sys.executable, "-c", ASK, str(path)],
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(mine)},
    )
    found = json.loads(output.splitlines()[-1])
    assert found["why"] == ""
    assert found["same"]
    assert found["layout"]["compiled"]["seconds"] > 0
    # Inductor chooses channels_last for convolutions on the CPU, and not where it was told.
    assert set(found["decided"]) == {True, False}
    # The user's cache, which may have this model, was not asked, and has nothing new.
    assert found["folders"] == 1
    assert [*mine.iterdir()] == []  # the folder itself is made by the import of inductor
    assert found["cached_seconds"] < found["compile_seconds"]
    assert found["left"] == str(mine)


def test_where_compiling_takes_long_the_cpu_is_not_asked_without_layout_optimization(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "convolution.py"
    path.write_text(CONVOLUTION, "utf-8")
    monkeypatch.setattr(compiled, "LONG", 0.0)
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    found = compiled.ask(contract.File(path), CPU, 4, 0.01)
    assert found.layout is None
    assert found.unasked
