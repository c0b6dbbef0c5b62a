"""A file as `metalassay bench` leaves it on a Mac, made by hand: no machine measured this."""

from __future__ import annotations

import copy
import json
import statistics
from collections.abc import Callable
from typing import Any

HARDWARE = {
    "system": "Darwin", "release": "macOS 15.1", "machine": "arm64", "chip": "Apple M4",
    "model": "Mac16,10", "physical_cores": 10, "performance_cores": 4, "efficiency_cores": 6,
    "logical_cores": 10, "gpu": "Apple M4", "gpu_cores": 10, "memory_bytes": 16 * 2**30,
    "virtual": False, "translated": False,
}  # fmt: skip
CALM = {
    "load": 2.0, "cores": 10, "power_mode": "automatic", "battery": None, "speed_limit": None,
    "temperature": None, "available_bytes": 9 * 2**30, "pressure": "normal", "swapped": 0,
    "stolen": None, "niceness": 0, "background": False, "thermal_pressure": "nominal",
    "busy": 5000.0, "own": 2.0,
    "environment": {},
}  # fmt: skip
PEAKS = {"mps": (2900.0, 101.0), "cpu": (900.0, 95.0)}


def benchmark(device: str, mode: str = "train", seconds: float = 0.02) -> dict[str, Any]:
    """Return one benchmark of the CNN, of nine rounds that differ by a few per cent."""
    data = [seconds * (1 + 0.01 * (each - 4)) for each in range(9)]
    return {
        "name": f"test_transit_cnn[transit-cnn-b64-{mode}-float32]",
        "extra_info": {
            "workload": "transit-cnn", "mode": mode, "device": device, "dtype": "float32",
            "batch_size": 64, "unit": "samples", "items_per_call": 64, "parameters": 42113,
            "flop_per_call": 4_297_600_000, "bytes_per_call": 488_960_000, "threads": 4,
            "compulsory_bytes_per_call": 1_200_000, "identity": "ast1-0123456789ab",
            "emulated": False, "parity": "", "marks": [], "malloc": "default",
        },
        "options": {"max_time": 5.0, "min_rounds": 5},
        "stats": {"data": data, "median": statistics.median(data), "iterations": 25},
    }  # fmt: skip


def of_one_device(device: str) -> dict[str, Any]:
    """Return the file that the suite leaves for one device."""
    gflop_s, gb_s = PEAKS[device]
    roof = {"device": device, "threads": 4, "gflop_s": gflop_s, "gb_s": gb_s, "seconds": 1.5}
    return {
        "machine_info": {"system": "Darwin", "hardware": dict(HARDWARE)},
        "commit_info": {"id": "unversioned", "dirty": False},
        "benchmarks": [benchmark(device), benchmark(device, "infer", 0.008)],
        "datetime": "2026-11-28T13:00:00+00:00",
        "versions": {"python": "3.12.1", "macos": "15.1", "torch": "2.13.0", "metalassay": "0.1.0"},
        "metalassay": {
            "schema": "metalassay.benchmarks/1",
            "series": None,
            "selftest": {
                "checks": [{"name": "a busy-wait", "passed": True, "saw": "20 ms"}],
                "roof": roof,
            },
            "conditions": {"before": dict(CALM), "after": dict(CALM)},
        },
    }


def document() -> dict[str, Any]:
    """Return the file of a whole run, which can be accepted."""
    both = of_one_device("mps")
    cpu = of_one_device("cpu")
    both["benchmarks"] += cpu["benchmarks"]
    proof = both["metalassay"]["selftest"]
    proof["roofs"] = {"mps": proof["roof"], "cpu": cpu["metalassay"]["selftest"]["roof"]}
    return both


def edited(edit: Callable[[Any], object]) -> bytes:
    """Return the file of a whole run, changed by ``edit``."""
    changed = copy.deepcopy(document())
    edit(changed)
    return json.dumps(changed).encode()


def put(path: str, value: object) -> Callable[[Any], None]:
    """Return an edit that sets a value; a path is as in a.b[0].c."""
    words = path.replace("[", ".[").split(".")

    def edit(document: Any) -> None:
        for word in words[:-1]:
            document = document[int(word[1:-1]) if word.startswith("[") else word]
        document[words[-1]] = value

    return edit
