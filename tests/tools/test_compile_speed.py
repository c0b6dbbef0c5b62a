"""tools/compile_speed.py compiles for real, and prints a line of a table."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.environment import versions

ROOT = Path(__file__).parents[2]
LINE = re.compile(
    r"\| attention \| float32 \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \(.+\) \| \d+ \|"
)


@pytest.mark.slow
@pytest.mark.skipif("torch" not in versions.installed(), reason="torch is not installed")
@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler is on the PATH"
)
def test_a_line_has_a_ratio_inside_its_interval() -> None:
    child = subprocess.run(
        [
            *(sys.executable, "tools/compile_speed.py", "--seconds", "0.5"),
            *("--block", "attention", "--dtype", "float32"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "compat"])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr
    found = LINE.fullmatch(child.stdout.splitlines()[-1])
    assert found is not None, child.stdout
    eager, ratio, low, high = map(float, found.groups())
    assert low <= ratio <= high
    assert eager > 0
