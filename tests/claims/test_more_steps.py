"""Whether more steps improve the text of guide 004's tiny model: two trainings, judged by dialogues that none saw."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.environment import versions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not {"torch", "safetensors"} <= versions.installed().keys(),
        reason="the extra train is missing",
    ),
]


def validation_loss(folder: Path, steps: int) -> float:
    """Return the loss on the package's own validation dialogues after that many steps."""
    command = [sys.executable, "-m", "metalassay", "train", "gpt", "--steps", str(steps)]
    command += ["--device", "cpu", "--threads", "1", "-o", str(folder / str(steps))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(re.findall(r"^validation loss: ([0-9.]+)", done.stdout + done.stderr, re.M)[-1])


def test_more_steps_lower_the_loss_and_the_texts_are_still_no_words(tmp_path: Path) -> None:
    few, many = validation_loss(tmp_path, 200), validation_loss(tmp_path, 600)
    assert few - many > 0.15
    # A choice among 20 tokens, most of them a letter or two, writes no sentence.
    assert many > 3
