"""Optimizer steps of real programs are profiled, and the programs compute what they compute without."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from child_run import Ended, run

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

PROGRAM = """
import sys, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
adam = torch.optim.AdamW(model.parameters())
x = torch.randn(4, 8)
def train(steps):
    for _ in range(steps):
        adam.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        adam.step()
        print(loss.item().hex())
"""


def profiled(code: str, folder: Path, steps: int = 3) -> Ended:
    ended = run([sys.executable, "-c", PROGRAM + code], profile=steps, profile_folder=str(folder))
    assert ended.code == 0, ended.err
    return ended


def summaries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("profile-*.json"))]


def calls(summary: dict[str, Any], name: str) -> int:
    found: int = next(each["calls"] for each in summary["operators"] if each["name"] == name)
    return found


def test_steps_are_profiled_in_turns_and_the_losses_stay_the_same(tmp_path: Path) -> None:
    ended = profiled("train(20)", tmp_path / "there")
    (summary,) = summaries(tmp_path / "there")
    assert len(summary["profiled"]) == len(summary["plain"]) == 3
    assert calls(summary, "aten::addmm") == 6  # two layers
    assert "metalassay: where a step goes: 3 profiled steps" in ended.err
    (trace,) = (tmp_path / "there").glob("trace-*.json.gz")
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert ended.out == run([sys.executable, "-c", PROGRAM + "train(20)"]).out


def test_a_program_that_ends_early_keeps_the_pairs_so_far(tmp_path: Path) -> None:
    ended = profiled("train(1 + 3 + 5)", tmp_path, steps=10)
    (summary,) = summaries(tmp_path)
    assert len(summary["profiled"]) == 2
    assert "the training ended before 10 steps were profiled" in ended.err


def test_a_program_that_fails_in_a_profiled_step_fails_as_without(tmp_path: Path) -> None:
    code = "train(1 + 3 + 3)\nraise SystemExit(7)"
    ended = run([sys.executable, "-c", PROGRAM + code], profile=3, profile_folder=str(tmp_path))
    assert ended.code == 7
    assert len(summaries(tmp_path)[0]["profiled"]) == 1


def test_steps_that_the_loop_counts_too_are_not_halved(tmp_path: Path) -> None:
    code = """
from metalassay import keepalive
for _ in range(1 + 3 + 2):
    train(1)
    keepalive.step()
"""
    profiled(code, tmp_path)
    (summary,) = summaries(tmp_path)
    assert len(summary["profiled"]) == 1  # halves would make three pairs
    assert calls(summary, "aten::addmm") == 2


def test_a_forked_process_has_a_profile_of_its_own(tmp_path: Path) -> None:
    code = """
import os
pid = os.fork()
torch.set_num_threads(1)
train(12)
sys.stdout.flush()
if pid == 0:
    sys.exit(0)
os.waitpid(pid, 0)
"""
    profiled(code, tmp_path)
    assert [len(summary["profiled"]) for summary in summaries(tmp_path)] == [3, 3]


def test_a_folder_that_cannot_be_written_costs_the_profile_only(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    ended = profiled("train(20)", taken)
    assert len(ended.out.split()) == 20
    assert "no trace: cannot write" in ended.err
