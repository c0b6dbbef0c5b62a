"""`metalassay train`: what is checked before the training is started."""

from __future__ import annotations

import argparse
import os
import sys

import pytest

from metalassay.cli import main
from metalassay.supervise import background

TRANSIT, GPT = ["train", "transit"], ["train", "gpt"]
SFT, DPO = ["train", "sft", "runs/gpt"], ["train", "dpo", "runs/gpt"]


@pytest.mark.parametrize("command", [TRANSIT, GPT])
def test_more_than_four_threads_per_core_are_refused(
    command: list[str],
    launched: list[argparse.Namespace],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert main.main([*command, "--threads", "13"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: --threads 13: at most 12, 4 times the cores here",
        f"  next: metalassay {' '.join(command)} --threads 3",
    ]
    assert not launched
    assert main.main([*command, "--threads", "12"]) == 0
    assert [options.launched for options in launched] == [" ".join(command)]


@pytest.mark.parametrize(
    ("batch", "parts", "following"),
    [
        (64, 3, "--accumulate 2 or 4, or --batch-size 63"),
        (7, 4, "--accumulate 1 or 7, or --batch-size 4"),
        (8, 9, "--accumulate 8, or --batch-size 9"),
        (2**61 - 1, 3, "--accumulate 1, or --batch-size 2305843009213693950"),
    ],
)
def test_a_batch_that_cannot_be_split_equally_is_refused(
    batch: int,
    parts: int,
    following: str,
    launched: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (TRANSIT, GPT):
        assert main.main([*command, "--batch-size", f"{batch}", "--accumulate", f"{parts}"]) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"metalassay: --batch-size {batch} cannot be split into {parts} equal parts",
            f"  next: {following}",
        ]
    assert not launched
    assert main.main([*TRANSIT, "--batch-size", "64", "--accumulate", "4"]) == 0


def test_progress_is_a_bar_unless_something_else_is_asked_for(
    launched: list[argparse.Namespace],
) -> None:
    for option in ([], ["--quiet"], ["--json"]):
        assert main.main([*GPT, *option]) == 0
    assert [options.progress for options in launched] == ["bar", "quiet", "json"]


def test_ten_steps_are_profiled_unless_a_number_is_given(
    launched: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ([], ["--profile"], ["--profile", "3"]):
        assert main.main([*GPT, *option]) == 0
    assert [options.profile for options in launched] == [None, 10, 3]
    assert main.main([*GPT, "--profile", "--dry-run"]) == 2
    assert "--dry-run takes no steps to profile" in capsys.readouterr().err


@pytest.mark.parametrize("command", [SFT, DPO])
def test_a_model_is_not_fine_tuned_in_its_own_folder(
    command: list[str], launched: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*command, "--output", "./runs/gpt"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: runs/gpt holds the model to start from, which stays as it is",
        "  next: choose another --output",
    ]
    assert not launched
    assert main.main(command) == 0
    (options,) = launched
    assert (options.launched, str(options.start)) == (" ".join(command[:2]), "runs/gpt")
    assert str(options.output) == f"runs/{command[1]}"


def test_in_the_background_it_has_limits_and_the_least_priority(
    launched: list[argparse.Namespace],
) -> None:
    assert main.main(["train", "gpt", "--background"]) == 0
    assert main.main(["train", "transit", "--background", "--max-cpu", "20"]) == 0
    assert main.main(["train", "gpt"]) == 0
    least = background.prefix(sys.platform)
    assert [(o.max_cpu, o.max_memory, o.launched_with) for o in launched] == [
        (70.0, 60.0, least),
        (20.0, 60.0, least),
        (None, None, []),
    ]
