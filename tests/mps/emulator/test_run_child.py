"""The process that runs a program under the emulation: what it reports if that cannot start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import old_torch


def test_an_emulation_that_cannot_start_is_two_lines_and_exit_code_2(tmp_path: Path) -> None:
    folders = [old_torch.write(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "metalassay.mps.emulator.run_child", "", "--", "-c", "print('ran')"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("metalassay: ")
    assert second.startswith("  next: ")
