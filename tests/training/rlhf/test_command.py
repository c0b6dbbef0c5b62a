"""What `train rlhf` says of a failure, and of a result."""

from __future__ import annotations

from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.training.rlhf import command


def test_a_known_bug_of_the_installed_versions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: {"trl": "0.11.4", "transformers": "4.45.2"})
    with pytest.raises(TypeError, match="unheard of"), command._explained():
        raise TypeError("unheard of")
    monkeypatch.setattr(versions, "installed", lambda: {"trl": "0.16.1", "transformers": "4.52.4"})
    with pytest.raises(UserError, match=r"GRPO of TRL < 0\.17") as refused, command._explained():
        raise TypeError(
            "GRPOTrainer._get_train_sampler() takes 1 positional argument but 2 were given"
        )
    assert "trl>=0.18" in refused.value.next_step


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
