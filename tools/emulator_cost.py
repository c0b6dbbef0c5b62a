"""Measure the overhead of the emulated mps: the time of an operator there, relative to the CPU.

Uses 64 x 64 float32 tensors and one thread, and reports the median ratio of 15 interleaved rounds.
Exits with code 1 if an operator takes more than three times as long as on the CPU.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)

from metalassay.mps.emulator import emulate_mps

MAX_RATIO = 3.0
ROUNDS, CALLS = 15, 300

Call = Callable[[], object]


def calls(device: str) -> dict[str, Call]:
    """Return the timed operators by name."""
    one, other = (torch.rand(64, 64, device=device) for _ in range(2))
    row = torch.rand(64, device=device)
    return {
        "add": lambda: one + other,
        "add_": lambda: one.add_(other),
        "matmul": lambda: one @ other,
        "linear": lambda: F.linear(one, other, row),
        "softmax": lambda: one.softmax(-1),
        "layer_norm": lambda: F.layer_norm(one, (64,), row, row),
        "gelu": lambda: F.gelu(one),
        "sum": lambda: one.sum(),
        "clone": lambda: one.clone(),
        "empty": lambda: torch.empty(64, 64, device=device),
        "t": lambda: one.t(),
        "view": lambda: one.view(-1),
    }


def seconds(call: Call) -> float:
    """Return the mean time of one call in seconds."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def main() -> int:
    """Measure and print a line per operator; return the exit code."""
    torch.set_num_threads(1)
    worst = 0.0
    with emulate_mps(quiet=True), torch.no_grad():
        on_mps, on_cpu = calls("mps"), calls("cpu")
        for name in on_mps:
            seconds(on_mps[name]), seconds(on_cpu[name])  # warm up
            pairs = [(seconds(on_cpu[name]), seconds(on_mps[name])) for _ in range(ROUNDS)]
            ratio = statistics.median(mps / cpu for cpu, mps in pairs)
            cpu, mps = (statistics.median(times) * 1e6 for times in zip(*pairs, strict=True))
            print(f"{name:12} CPU {cpu:6.2f} us, emulated {mps:6.2f} us, ratio {ratio:.2f}")
            worst = max(worst, ratio)
    return int(worst > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())
