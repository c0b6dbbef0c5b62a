"""Compare the time of a warm `nox -s compat` with that of bare imports in its five environments.

python tools/warm_matrix.py [--rounds 3]

Alternates between them, so that a busy machine slows all of them down: bare imports of the stack, one
per row; the five rows one after the other, and two at a time, although nothing has changed (--fresh);
and the five rows again, which are unchanged. Run `nox -s compat` once before.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from metalassay.matrix import environments, matrix_file

ROOT = Path(__file__).parents[1]
STACK = "import torch, accelerate, transformers"
NOX = (sys.executable, "-m", "nox")
WAYS = {
    "one after the other": (*NOX, "-s", "compat", "--", "--fresh"),
    "two at a time": (*NOX, "-j", "2", "-s", "compat", "--", "--fresh"),
    "unchanged": (*NOX, "-s", "compat"),
}


def seconds(*command: str | Path) -> float:
    """Return the wall time in seconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    """Print each round, and the median of every way with its ratio to the imports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    rounds = parser.parse_args().rounds
    rows = [row.id for row in matrix_file.load(ROOT).rows.values() if "quick" in row.tags]
    folders = [environments.folder_of(row, ROOT / ".nox") for row in rows]
    pythons = [python for folder in folders if (python := environments.python_of(folder)).exists()]
    if len(pythons) != len(rows):
        sys.exit(f"found {len(pythons)} of {len(rows)} environments; first run: nox -s compat")
    times: dict[str, list[float]] = {"imports": [], **{way: [] for way in WAYS}}
    for number in range(1, rounds + 1):
        times["imports"].append(sum(seconds(python, "-c", STACK) for python in pythons))
        for way, command in WAYS.items():
            times[way].append(seconds(*command))
        shown = ", ".join(f"{way} {values[-1]:.1f} s" for way, values in times.items())
        print(f"round {number}: {shown}", flush=True)
    print(f"\n| {len(rows)} quick rows | median | to the imports |\n|:--|--:|--:|")
    for way, values in times.items():
        pairs = zip(values, times["imports"], strict=True)
        ratio = statistics.median(value / bare for value, bare in pairs)
        print(f"| {way} | {statistics.median(values):.1f} s | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
