"""`run` and `train` have the same limits."""

from __future__ import annotations

import argparse

from metalassay.cli import main


def test_a_training_has_the_limits_of_run(launched: list[argparse.Namespace]) -> None:
    limits = ["--max-cpu", "70", "--max-memory", "60", "--monitor", "log", "--every", "2"]
    assert main.main(["train", "gpt", *limits]) == 0
    assert main.main(["run", *limits, "--", "true"]) == 0
    for options in launched:
        assert (options.max_cpu, options.max_memory) == (70, 60)
        assert (str(options.monitor), options.every) == ("log", 2)
    assert len(launched) == 2
