"""What the emulated mps adds to an operator on small tensors: the time there over the CPU's own.

Interleaved rounds on 64 x 64 float32 with one thread; the median ratio of 15 rounds. Exit code 1 if
an operator takes more than three times the CPU's time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)

from metalassay.mps.emulator import emulate_mps

MOST = 3.0
ROUNDS, CALLS = 15, 300

Call = Callable[[], object]


def calls(device: str) -> dict[str, Call]:
    """Return what is timed, by name."""
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
    """Return the time of one call, in seconds."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def main() -> int:
    """Measure, and print a line for each operator."""
    torch.set_num_threads(1)
    worst = 0.0
    with emulate_mps(quiet=True), torch.no_grad():
        here, there = calls("mps"), calls("cpu")
        for name, call in here.items():
            seconds(call), seconds(there[name])
            pairs = [(seconds(there[name]), seconds(call)) for _ in range(ROUNDS)]
            ratio = statistics.median(mps / cpu for cpu, mps in pairs)
            cpu, mps = (statistics.median(each) * 1e6 for each in zip(*pairs, strict=True))
            print(f"{name:12} CPU {cpu:6.2f} us, emulated {mps:6.2f} us, ratio {ratio:.2f}")
            worst = max(worst, ratio)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
