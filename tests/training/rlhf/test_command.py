"""What `train rlhf` says of a result."""

from __future__ import annotations

from typing import Any

import pytest

from metalassay.training.rlhf import command


def test_a_result_says_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    result: dict[str, Any] = {
        "trainer": "sft",
        "steps": 3,
        "parameters": 1000,
        "device": "cpu",
        "versions": {"trl": "1.0", "transformers": "5.0"},
        "before": {"reward": 0.25},
        "after": {"reward": 0.5},
        "steps_per_second": None,
        "tokens_per_second": None,
        "timed_steps": 0,
        "peak_memory": {"peak_rss": 2**20},
    }
    command._show({"progress": "bar"}, result)
    said = capsys.readouterr().out
    assert "reward: 0.2500 -> 0.5000" in said
    assert "steps/s" not in said
    assert "peak memory of the process: 1 MiB" in said


def test_only_figures_that_a_person_reads_are_shown() -> None:
    assert command._brief({"loss": 0.5, "train_runtime": 3.0}) == "loss 0.5"
    assert command._brief({"train_runtime": 3.0}) == ""
