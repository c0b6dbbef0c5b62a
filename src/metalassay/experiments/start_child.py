"""A program that an arm starts: it starts torch, trains the two-branch CNN, and prints how long that took.

Its argument is a JSON object: ``device``; ``emulated``, whether an mps has to be emulated; ``before``, what is computed on the device first ("nothing", "zero",
or "step", a whole training step); ``batch``; and ``product``, the size of a matrix that is multiplied, 0 for none.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Any


def main() -> None:
    """Do what the argument says, and print one JSON object."""
    wanted = json.loads(sys.argv[1])
    with contextlib.ExitStack() as stack:
        if wanted["emulated"]:
            from metalassay.mps.emulator import emulate_mps

            stack.enter_context(emulate_mps(quiet=True))
        sys.stdout.write(json.dumps(_train(wanted)) + "\n")


def _train(wanted: Mapping[str, Any]) -> dict[str, float | None]:
    import torch

    from metalassay.machine.process_memory import peak_rss
    from metalassay.measure import device as devices
    from metalassay.workloads import registry

    device = torch.device(wanted["device"])
    recipe = registry.get("transit-cnn")

    def built() -> registry.Workload:
        return registry.make(recipe, "train", device, "float32", wanted["batch"])

    if wanted["before"] == "zero":
        torch.zeros(1, device=device)
        devices.synchronize(device)
    elif wanted["before"] == "step":
        built().step()
    step = built().step
    started = time.perf_counter()
    step()
    first = time.perf_counter() - started
    ready = time.time()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(_STEPS):
        step()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "ready": ready,
        "first": first,
        "step": wall / _STEPS,
        "cpu": cpu / wall,
        "peak": peak_rss(),
        "product": _product(wanted["product"]),
    }


_STEPS = 10


def _product(size: int) -> float | None:
    """Return the seconds of a product of two square matrices on the CPU, None for none."""
    if not size:
        return None
    import torch

    one = torch.ones(size, size)
    one @ one
    started = time.perf_counter()
    for _ in range(_STEPS):
        one @ one
    return (time.perf_counter() - started) / _STEPS


if __name__ == "__main__":
    main()
