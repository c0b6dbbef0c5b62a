"""Files of another project's benchmarks, constructed: no machine measured these times."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

M4 = {
    "system": "Darwin",
    "release": "macOS 26.1",
    "machine": "arm64",
    "chip": "Apple M4",
    "gpu": "Apple M4",
    "gpu_cores": 10,
    "memory_bytes": 16 * 2**30,
    "logical_cores": 10,
}
M4_PRO = {**M4, "chip": "Apple M4 Pro", "gpu": "Apple M4 Pro", "gpu_cores": 20}
ROUNDS = (0.0020, 0.0021, 0.0022, 0.0021, 0.0023)


def assayed(
    hardware: dict[str, Any],
    times: Mapping[str, tuple[float, ...]],
    *,
    when: str = "2026-11-29T10:00:00+00:00",
    series: str | None = None,
    **of_each: Any,
) -> dict[str, Any]:
    """Return the document of `pytest --assay`; ``of_each`` replaces what is recorded beside each benchmark."""
    document = plain(times, when=when)
    document["machine_info"]["hardware"] = dict(hardware)
    document["versions"] = {"python": "3.12.4", "numpy": "2.3.0", "pytest": "8.4.0"}
    snapshot = {"power_mode": "automatic", "thermal_pressure": "nominal"}
    document["metalassay"] = {
        "schema": "metalassay.suite/1",
        "project": "tables",
        "series": series,
        "emulated": False,
        "flags": [],
        "conditions": {"before": snapshot, "after": dict(snapshot)},
    }
    for benchmark in document["benchmarks"]:
        benchmark["metalassay"] = {
            "identity": "src1-0123456789ab",
            "waits_for": "",
            "threads": None,
            "marks": [],
            **of_each,
        }
    return document


def plain(
    times: Mapping[str, tuple[float, ...]],
    *,
    when: str = "2026-11-29T10:00:00+00:00",
    node: str = "host-of-somebody",
    raw: bool = True,
) -> dict[str, Any]:
    """Return the document of pytest-benchmark alone, with or without the times of the rounds."""
    return {
        "machine_info": {
            "node": node,
            "processor": "arm",
            "machine": "arm64",
            "system": "Darwin",
            "release": "25.1.0",
            "python_implementation": "CPython",
            "python_version": "3.12.4",
            "cpu": {"brand_raw": "Apple M4", "count": 10, "hz_actual": [len(when), 0]},
        },
        "commit_info": {"id": 40 * "a", "dirty": False, "project": "tables", "branch": "main"},
        "benchmarks": [_benchmark(name, seconds, raw) for name, seconds in times.items()],
        "datetime": when,
        "version": "5.3.1",
    }


def _benchmark(name: str, seconds: tuple[float, ...], raw: bool) -> dict[str, Any]:
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    stats: dict[str, Any] = {"median": statistics.median(seconds), "q1": low, "q3": high}
    stats |= {"rounds": len(seconds), "iterations": 1}
    if raw:
        stats["data"] = list(seconds)
    return {"name": name.rpartition("::")[2], "fullname": name, "stats": stats}


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    """Write the documents as files 0.json and so on; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, document in enumerate(documents):
        (folder / f"{number}.json").write_text(json.dumps(document), "utf-8")
    return folder
