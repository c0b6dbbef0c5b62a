"""`run` and `train` have the same limits."""

from __future__ import annotations

import argparse

import pytest

from metalassay.cli import main
from metalassay.supervise import command

LIMITS = ["--max-cpu", "70", "--max-memory", "60", "--monitor", "log", "--every", "2"]


def test_a_training_has_the_limits_of_run(
    launched: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[command.Options] = []

    def keep(options: command.Options) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(command, "run", keep)
    assert main.main(["train", "gpt", *LIMITS]) == 0
    assert main.main(["run", *LIMITS, "--", "true"]) == 0
    [train], [run] = launched, [each.plan for each in asked]
    assert (train.max_cpu, train.max_memory) == (70, 60)
    assert (run.max_cpu, run.max_memory) == (0.7, 0.6)
    assert str(train.monitor) == str(run.monitor) == "log"
    assert train.every == run.every == 2
