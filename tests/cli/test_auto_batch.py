"""`--batch-size auto`: what is chosen, when the search ends, and that a failing try ends nothing else."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from train_command import run as command

from metalassay.cli import auto_batch, main
from metalassay.cli.auto_batch import Choice, Try
from metalassay.errors import UserError
from metalassay.workers import max_batch

GPT = ["train", "gpt", "--device", "cpu", "--threads", "1"]


def choose(
    speeds: dict[int, float | None], parts: int = 1, largest: int = 4096
) -> tuple[Choice, list[int]]:
    asked: list[int] = []

    def attempt(batch: int) -> Try:
        asked.append(batch)
        return Try(batch, speeds[batch], 1.0, "" if speeds[batch] else "no memory")

    return auto_batch.choose(attempt, parts, largest, lambda tried: None), asked


def test_the_smallest_batch_with_nearly_the_fastest_speed_is_chosen() -> None:
    choice, asked = choose({1: 10, 2: 19, 4: 35, 8: 60, 16: 64, 32: 65, 64: 1000})
    assert choice.batch == 8
    assert choice.why == "92% of the speed of 32, the fastest; doubling gained less than 10% twice"
    assert asked == [1, 2, 4, 8, 16, 32]


def test_one_doubling_that_does_not_pay_does_not_end_the_search() -> None:
    choice, _ = choose({1: 10, 2: 9, 4: 30, 8: 30, 16: 30})
    assert choice.batch == 4


def test_the_search_ends_where_the_memory_does() -> None:
    choice, asked = choose({3: 10, 6: 20, 12: None}, parts=3)
    assert choice == Choice(6, "the fastest of 2; 12 does not fit: no memory")
    assert asked == [3, 6, 12]
    with pytest.raises(UserError, match="not even a batch of 3 fits: no memory"):
        choose({3: None}, parts=3)


def test_the_search_ends_at_the_largest_and_at_slow_steps() -> None:
    assert choose({1: 1, 2: 2, 4: 4}, largest=7)[1] == [1, 2, 4]
    slow = auto_batch.choose(lambda batch: Try(batch, batch, 11.0), 1, 64, lambda tried: None)
    assert slow == Choice(1, "the fastest of 1; a step of 1 takes more than 10 s")


def test_a_run_to_resume_keeps_its_batch_size_and_nothing_is_tried(
    tmp_path: Path, launched: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def run(command: str, options: argparse.Namespace) -> Choice:
        tried.append(1)
        return Choice(4, "why")

    monkeypatch.setattr(auto_batch, "run", run)
    arguments = [*GPT, "--batch-size", "auto", "-o", str(tmp_path)]
    assert main.main(arguments) == 0
    assert (launched[-1].batch_size, len(tried)) == (4, 1)
    (tmp_path / "step-00000001").mkdir()
    assert main.main([*arguments, "--resume"]) == 0
    assert (launched[-1].batch_size, len(tried)) == ("auto", 1)


@pytest.mark.slow
def test_the_batch_size_that_was_tried_and_chosen_is_stored_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(auto_batch, "LARGEST", 4)
    arguments = [*GPT, "--steps", "2", "--batch-size", "auto", "--accumulate", "2"]
    arguments += ["-o", str(tmp_path / "run")]
    assert command(monkeypatch, *arguments) == 0
    err = capsys.readouterr().err
    assert "batch size 2: " in err
    assert "batch size 4: " in err
    chosen = int(err.partition("--batch-size auto: ")[2].partition(",")[0])
    state = json.loads((tmp_path / "run" / "step-00000002" / "state.json").read_text())
    assert state["config"]["batch_size"] * 2 == chosen
    assert command(monkeypatch, *arguments, "--resume") == 0
    capsys.readouterr()
    other = "2" if chosen == 4 else "4"
    changed = [other if word == "auto" else word for word in arguments]
    assert command(monkeypatch, *changed, "--resume") == 2
    assert "batch_size was" in capsys.readouterr().err


def options(*more: str) -> argparse.Namespace:
    return main.parser(["train"]).parse_args([*GPT, *more])


@pytest.mark.slow
def test_a_try_that_the_estimate_excludes_does_not_fit() -> None:
    tried = auto_batch.attempt("train gpt", options(), 2**40)
    assert tried.speed is None
    assert "needs at least" in tried.why


@pytest.mark.slow
def test_a_try_is_ended_where_the_memory_gets_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_batch, "short_of_memory", lambda *, calm: True)
    tried = auto_batch.attempt("train gpt", options(), 2)
    assert tried.speed is None
    assert tried.why.startswith("memory pressure")


@pytest.mark.slow
def test_a_try_that_fails_for_another_reason_is_an_error() -> None:
    with pytest.raises(UserError, match="cannot be split"):
        auto_batch.attempt("train gpt", options("--heads", "5"), 2)
