"""Measure how long a training step takes under torch.compile, as a ratio to eager, for the blocks of compat/small_models.py.

    PYTHONPATH=src:compat python tools/compile_speed.py --seconds 6

One thread, on the CPU. Eager and compiled steps take turns in one process, in ABBA order, and what counts is the CPU
time of the process, so that busy neighbours do not matter. It prints a line of a Markdown table for each block and
dtype: the CPU time of an eager step, compiled over eager with a 95 % interval within this process (below 1, compiling
is faster), and how long compiling took, forward and back, with Inductor's caches off.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# They are read when torch is imported. Compilers of other processes would not count in the CPU time.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

import small_models  # noqa: E402
import torch  # noqa: E402

from metalassay.ask.pairs import Turns  # noqa: E402

SIZES = {
    "convolution": small_models.Sizes(batch=16, channels=32, length=2001),
    "attention": small_models.Sizes(batch=4, channels=40, length=128),
}
"""Those of our CNN, and of the original GPT at half its context: what is compiled is as large as in a training."""
CASES = {
    "float32": (torch.float32, False),
    "bfloat16": (torch.bfloat16, False),
    "float16": (torch.float16, False),
    "autocast(bfloat16)": (torch.bfloat16, True),
}
LEAST = 0.02
"""Seconds of one timing; steps are repeated until they take as long."""
HEAD = """| block | dtype | eager, ms CPU | compiled over eager | 95 % interval | compiling, s |
|:--|:--|--:|--:|:--|--:|"""


def step(block: str, dtype: torch.dtype, autocast: bool, compiled: bool) -> Callable[[], object]:
    """Return a function that computes the loss and all gradients once."""
    made, x, target = small_models.task(block, SIZES[block])
    kept = torch.float32 if autocast else dtype
    made = made.to(kept)
    x, target = x.to(kept), target.float()
    run = torch.compile(made, fullgraph=True) if compiled else made

    def train() -> None:
        made.zero_grad()
        with torch.autocast("cpu", dtype) if autocast else contextlib.nullcontext():
            _, loss = run(x, target)
        loss.backward()

    return train


def repeated(function: Callable[[], object], times: int) -> Callable[[], object]:
    """Return a function that calls another one so many times."""

    def call() -> None:
        for _ in range(times):
            function()

    return call


def line(block: str, case: str, seconds: float) -> str:
    """Measure one block in one dtype, and return its line of the table."""
    dtype, autocast = CASES[case]
    torch._dynamo.reset()
    eager = step(block, dtype, autocast, compiled=False)
    compiled = step(block, dtype, autocast, compiled=True)
    eager()
    began = time.perf_counter()
    compiled()
    first = time.perf_counter() - began
    began = time.process_time()
    eager()
    times = max(round(LEAST / (time.process_time() - began)), 1)
    turns = Turns({"eager": repeated(eager, times), "compiled": repeated(compiled, times)})
    turns.run(seconds, time.process_time)
    found = turns.ratio("compiled", "eager")
    each = turns.timing("eager").seconds / times * 1000
    return (
        f"| {block} | {case} | {each:.3g} | {found.ratio:.2f} | {found.low:.2f} to {found.high:.2f}"
        f" ({found.word}) | {first:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="CPU time of each line")
    parser.add_argument("--block", choices=sorted(SIZES), action="append")
    parser.add_argument("--dtype", choices=[*CASES], action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n\n{HEAD}")
    for block in options.block or SIZES:
        for case in options.dtype or CASES:
            print(line(block, case, options.seconds), flush=True)


if __name__ == "__main__":
    main()
