"""`train --dry-run`: what it says comes from the model and from real steps, and it writes nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tiny_training import CPU, task
from train_command import run as command

from metalassay.errors import UserError
from metalassay.training import dry_run
from metalassay.training.gpt import shape
from metalassay.training.loop import Recipe, train
from metalassay.training.transit import task as transit
from metalassay.workloads.models.tiny_gpt import ORIGINAL

GPT = ("train", "gpt", "--device", "cpu", "--threads", "1", "--dry-run")


def test_a_few_steps_are_really_run_and_the_first_are_not_counted() -> None:
    trained = task()
    before = [parameter.detach().clone() for parameter in trained.model.parameters()]
    steps = dry_run.measure(trained, Recipe(5, 1e-2), CPU)
    assert len(steps.seconds) == dry_run.MOST_STEPS
    assert 0 < min(steps.seconds) <= steps.median <= max(steps.seconds)
    changed = zip(before, trained.model.parameters(), strict=True)
    assert not all(torch.equal(old, new) for old, new in changed)


def test_slow_steps_end_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "MOST_SECONDS", 0.0)
    steps = dry_run.measure(task(), Recipe(5, 1e-2), CPU)
    assert len(steps.seconds) == 1


@pytest.mark.parametrize(
    ("done", "steps", "every", "times"),
    [(0, 60, 10, 6), (0, 65, 10, 7), (25, 65, 10, 5), (9, 9, 2, 0)],
)
def test_evaluations_are_counted_as_the_loop_runs_them(
    tmp_path: Path, done: int, steps: int, every: int, times: int
) -> None:
    assert dry_run._times(done, steps, every) == times
    if not done:
        seen: list[int] = []
        trained = dataclasses.replace(task(), evaluate=lambda: {"figure": 1.0 + len(seen)})
        train(
            trained,
            Recipe(steps, 1e-2),
            tmp_path,
            CPU,
            evaluate_every=every,
            report=lambda progress: seen.extend([progress.step] if progress.figures else []),
        )
        assert len(seen) == times


def test_it_writes_nothing_and_says_what_would_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *GPT, "--layers", "1", "--steps", "50", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    assert found["parameters"] == 13_568 - (12 * 16 * 16 + 13 * 16)
    assert found["steps"] == 50
    assert 1 <= found["steps_measured"] <= dry_run.MOST_STEPS
    assert found["evaluations"] == 7
    told = found["seconds_per_step"] * 50 + found["seconds_per_evaluation"] * 7
    assert found["seconds_estimate"] == pytest.approx(told)
    paths = [each["path"] for each in found["writes"]]
    names = ("tokenizer.json", "step-N", "log.jsonl", "result.json")
    assert paths == [str(Path("runs/gpt") / name) for name in names]

    assert command(monkeypatch, *GPT, "--steps", "50", "--monitor", "load.jsonl") == 0
    out = capsys.readouterr().out
    assert "total time, estimated: about " in out
    assert "time per step, measured: " in out
    assert "  load.jsonl: while it runs" in out
    assert not list(tmp_path.iterdir())


def test_what_it_says_of_the_files_is_what_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*GPT, "--json", "--steps", "2", "-o", str(tmp_path / "run")]
    assert command(monkeypatch, *arguments) == 0
    writes = {
        Path(each["path"]).name: each for each in json.loads(capsys.readouterr().out)["writes"]
    }
    assert command(monkeypatch, *(word for word in arguments if word != "--dry-run")) == 0
    capsys.readouterr()
    step = tmp_path / "run" / "step-00000002"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    written = {"step-N" if name.startswith("step-") else name for name in names}
    assert {name for name in written if not name.startswith(".")} == set(writes)
    size = sum(path.stat().st_size for path in step.iterdir())
    assert size == pytest.approx(writes["step-N"]["bytes"], rel=0.2)
    assert (tmp_path / "run" / "tokenizer.json").stat().st_size == writes["tokenizer.json"]["bytes"]

    assert command(monkeypatch, *arguments) == 2  # as the real run would
    assert "already holds a run" in capsys.readouterr().err
    assert command(monkeypatch, *arguments, "--resume") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 0


@pytest.mark.slow
def test_a_dry_run_of_the_classifier_makes_few_curves_and_counts_the_steps_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [
        "train",
        "transit",
        "--device",
        "cpu",
        "--batch-size",
        "4",
        "--epochs",
        "2",
        "--json",
    ]
    assert command(monkeypatch, *arguments, "--curves", "2000", "--dry-run") == 0
    found = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    assert found["steps"] == 2 * (len(transit.make(0, 2000)["train"].planet) // 4)
    assert found["parameters"] == 42_113


def test_more_memory_than_there_is_is_refused_before_anything_is_read_unless_insisted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metalassay.measure.device.capacity", lambda device: 2_000_000)
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "gpt", "--device", "cpu", "--steps", "1", "--quiet", "-o", "run"]
    assert command(monkeypatch, *arguments, "--data", "missing.jsonl") == 2
    first, following = capsys.readouterr().err.splitlines()
    assert "needs at least 2.1 MB of memory, and this machine has 2.0 MB" in first
    assert "--ignore-memory" in following
    assert not list(tmp_path.iterdir())
    assert command(monkeypatch, *arguments, "--ignore-memory") == 0


def test_sizes_are_told_in_their_unit() -> None:
    shown = [dry_run.size(count) for count in (12, 1_200, 3_456_000, 7 * 10**12)]
    assert shown == ["12 bytes", "1.2 kB", "3.5 MB", "7,000.0 GB"]
    assert [dry_run.clock(each) for each in (0.2, 119, 121, 7300)] == [
        "1 s",
        "119 s",
        "3 min",
        "2.0 h",
    ]


def test_a_dtype_that_the_device_lacks_is_refused_as_in_the_run() -> None:
    plan = dry_run.Plan("", {}, 1, 1, 1)
    with pytest.raises(UserError):
        dry_run.run(
            task(), Recipe(5, float("inf")), Path("run"), CPU, plan, as_json=False, others={}
        )


def test_the_estimate_of_the_original_size_is_its_formula() -> None:
    state, kept = 16 * 2_526_240, 4 * 8 * 256 * (7 * 16 * 160 + 2 * 160)
    logits = 3 * 4 * 8 * 256 * 2000
    assert shape.step_bytes(ORIGINAL, 8, in_blocks=False) == state + kept + logits
    assert shape.step_bytes(ORIGINAL, 8, in_blocks=True) == state + kept + 2**21 + 4 * 2000 * 160
