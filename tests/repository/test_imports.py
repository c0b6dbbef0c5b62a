"""What the command line loads: it must start in an environment where nothing heavy can be imported."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "accelerate", "transformers", "trl", "datasets", "numpy", "pytest")


def test_the_command_line_loads_no_heavy_library() -> None:
    code = f"import sys, metalassay.cli.main\nprint(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
