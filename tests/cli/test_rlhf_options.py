"""`metalassay train rlhf`: what is refused before anything is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from metalassay.cli import handover, main


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend that TRL is installed, and record what would be launched."""
    launched: list[str] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    def launch(command: str, options: object) -> int:
        launched.append(command)
        return 0

    monkeypatch.setattr(handover, "launch", launch)
    return launched


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main.main(["train", "rlhf", *arguments]))
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    return " ".join(lines)


def test_a_missing_trl_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "trl" else there(name)
    )
    said = refused(capsys, "sft")
    assert "trl" in said
    assert "pip install 'metalassay[rlhf]'" in said


def test_grpo_needs_whole_groups(installed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--batch-size 8" in refused(capsys, "grpo", "--batch-size", "10")
    assert "--batch-size 4" in refused(capsys, "chain", "--batch-size", "3")
    assert main.main(["train", "rlhf", "sft", "--batch-size", "3"]) == 0
    assert installed == ["train rlhf"]


def test_ppo_needs_a_reward_model(installed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--reward-model" in refused(capsys, "ppo")


def test_the_run_that_is_read_stays_as_it_is(
    installed: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = str(tmp_path / "sft")
    assert "choose another" in refused(capsys, "dpo", "--start", run, "-o", run)
    assert "choose another" in refused(capsys, "grpo", "--reward-model", run, "-o", run)
