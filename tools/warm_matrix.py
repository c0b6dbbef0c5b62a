"""Compare the time of a warm `nox -s compat` with that of bare imports in its five environments.

Alternates between the two, so that a busy machine slows both down. Run `nox -s compat` once before.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from metalassay.matrix import matrix_file

ROOT = Path(__file__).parents[1]
ROUNDS = 3


def seconds(*command: str | Path) -> float:
    """Return the wall time in seconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    """Print each round and the median ratio."""
    rows = [row.id for row in matrix_file.load(ROOT).rows.values() if "quick" in row.tags]
    names = ["compat-" + row.replace(".", "-") for row in rows]
    environments = [p for name in names if (p := ROOT / ".nox" / name / "bin" / "python").exists()]
    if len(environments) != 5:
        sys.exit(f"found {len(environments)} of the five environments; first run: nox -s compat")
    ratios = []
    for number in range(1, ROUNDS + 1):
        bare = sum(
            seconds(python, "-c", "import torch, accelerate, transformers")
            for python in environments
        )
        all_rows = seconds(sys.executable, "-m", "nox", "-s", "compat")
        ratios.append(all_rows / bare)
        print(
            f"round {number}: five imports {bare:.1f} s, five rows {all_rows:.1f} s, {ratios[-1]:.2f}x"
        )
    print(f"median ratio {statistics.median(ratios):.2f}x (the limit is 2x)")


if __name__ == "__main__":
    main()
