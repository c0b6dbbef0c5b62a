"""Metrics and weights that are not finite, and the metrics of a run that has already finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_training import CPU, task
from train_command import run

from metalassay.errors import UserError
from metalassay.training.loop import Progress, Recipe, Task
from metalassay.training.loop import train as train_task

GPT = ["train", "gpt", "--device", "cpu", "--quiet"]


def test_a_finished_run_that_is_resumed_reports_its_metrics(tmp_path: Path) -> None:
    def judged() -> Task:
        made: Task = task()
        weights = list(made.model.parameters())
        return replace(made, evaluate=lambda: {"sum": sum(each.sum().item() for each in weights)})

    first = train_task(judged(), Recipe(4, 1e-2), tmp_path, CPU)
    again = train_task(judged(), Recipe(4, 1e-2), tmp_path, CPU, resume=True)
    assert first.figures == again.figures != {}


def test_a_metric_that_is_not_finite_stops_the_run_without_a_checkpoint(
    tmp_path: Path,
) -> None:
    judged = replace(task(), evaluate=lambda: {"validation_loss": float("nan")})
    with pytest.raises(UserError, match="the validation loss is nan after step 20") as caught:
        train_task(judged, Recipe(20, 0.25), tmp_path, CPU)
    assert "another --output folder" in caught.value.next_step
    assert "below 0.25" in caught.value.next_step
    assert "NaN" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert not list(tmp_path.glob("step-*"))


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    broken = task()

    def overflow(at: Progress) -> None:
        next(iter(broken.model.parameters())).detach().fill_(float("inf"))

    with pytest.raises(UserError, match="the weights are not finite after step 20"):
        train_task(broken, Recipe(20, 1e-2), tmp_path, CPU, report_every=20, report=overflow)
    assert not list(tmp_path.glob("step-*"))


@pytest.mark.parametrize("rate", [1e36, 1e300, float("inf"), float("nan")])
def test_a_learning_rate_that_overflows_float32_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(UserError, match="a learning rate of"):
        train_task(task(), Recipe(1, rate), tmp_path / "a", CPU)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"is nan|is inf|not finite"):
        train_task(task(), Recipe(5, 9e35, momenta=(0.85, 0.95)), tmp_path / "a", CPU)


@pytest.mark.slow
def test_a_learning_rate_that_is_far_too_high_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--learning-rate", "1e30", "--steps", "1", "-o", str(tmp_path)]
    assert run(monkeypatch, *GPT[:-1], "--json", *options) == 2
    shown = capsys.readouterr()
    assert "NaN" not in shown.out
    assert "with --learning-rate below 1e+30" in shown.err
    assert not (tmp_path / "result.json").exists()
