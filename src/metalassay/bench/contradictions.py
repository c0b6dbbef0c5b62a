"""What in a result file contradicts itself, or cannot come from our own suite: the second half of the acceptance.

A file says many things twice: the chip, the median, the workload, the measured peak. Whoever edits one of them
rarely edits the other. Every function here yields pairs of a field and what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from packaging.version import Version

from metalassay.bench import suite
from metalassay.machine import conditions
from metalassay.machine.conditions import Conditions
from metalassay.machine.hardware import Hardware
from metalassay.machine.power import Power
from metalassay.results.measurement import Measurement

Found = Iterator[tuple[str, str]]

LEAST_SECONDS = 1.0
"""Seconds of timed rounds that are needed; pytest-benchmark's default for ``options.max_time``."""
MOST_SECONDS = 3600.0
"""Seconds of timed rounds that anybody asks for."""
LEAST_MEMORY = 2**30
"""Bytes; torch alone does not run in less."""
MOST_GFLOP_S, MOST_GB_S = 1e6, 2e4
"""More than any one chip computes or moves: an H200 has 4,800 GB/s and 67 TFLOP/s in float32, and some 500
TFLOP/s in TF32 (https://www.nvidia.com/en-us/data-center/h200/)."""
BUSY_BEFORE = 2.0
"""Load per core before a run. After a run the limit is lower: before it, another measurement may just have ended."""
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
"""There was no metalassay before."""
SAME = 1e-6  # relative; a figure and its recomputation differ by rounding alone

UNITS = {
    **{name: "samples" if name == "transit-cnn" else "tokens" for name, _ in suite.FULL},
    **dict.fromkeys(suite.RLHF, "samples"),
}
"""The unit of each of our workloads, without importing torch."""

_PEAK = frozenset({"device", "threads", "gflop_s", "gb_s", "seconds"})
_SNAPSHOT = frozenset(field.name for field in dataclasses.fields(Conditions))
_TOP = frozenset(
    "machine_info commit_info benchmarks datetime version versions metalassay".split()  # noqa: SIM905
)
_BENCHMARK = frozenset(
    "group name fullname params param extra_info options stats".split()  # noqa: SIM905
)
_EXTRA = frozenset(
    """
    power memory workload device emulated parity flop_per_call bytes_per_call compulsory_bytes_per_call malloc
    warm_up_steps steady mode dtype batch_size unit items_per_call parameters threads identity marks tokens_per_call
    """.split()  # noqa: SIM905
)
_EXTRA_PARTS = {
    "power": frozenset(field.name for field in dataclasses.fields(Power)) | {"per_watt"},
    "memory": frozenset({"live", "driver", "peak_rss"}),
}


def about_the_machine(document: Mapping[str, Any], machine: Hardware) -> Found:
    """Yield where the chip and its surroundings contradict each other, and sizes that no machine has."""
    place = "machine_info.hardware"
    if _apple(machine.chip) and machine.system != "Darwin":
        yield f"{place}.chip", f"is {machine.chip}, but the system is {machine.system}"
    info = document["machine_info"]
    brand = _member(info, "cpu", "brand_raw")
    if isinstance(brand, str) and machine.chip and _plain(brand) != _plain(machine.chip):
        yield f"{place}.chip", f"is {machine.chip}, but machine_info.cpu.brand_raw is {brand}"
    architecture = _member(info, "machine")
    if isinstance(architecture, str) and architecture != machine.machine:
        yield (
            f"{place}.machine",
            f"is {machine.machine}, but machine_info.machine is {architecture}",
        )
    if machine.memory_bytes is not None and machine.memory_bytes < LEAST_MEMORY:
        yield f"{place}.memory_bytes", f"is {machine.memory_bytes:,}: less than 1 GiB"


def about_the_run(document: Mapping[str, Any], measured: tuple[Measurement, ...]) -> Found:
    """Yield versions that are none, a date before the project, and benchmarks that are there twice."""
    for name, version in measured[0].versions.items():
        try:
            # A Python built from a branch calls itself "3.15.0a1+".
            Version(version.removesuffix("+") if name == "python" else version)
        except ValueError:
            yield f"versions.{name}", f"is no version: {version}"
    if measured[0].when < FIRST_DAY:
        yield "datetime", f"{measured[0].when:%Y-%m-%d} is before there was a metalassay"
    seen: dict[tuple[object, ...], int] = {}
    for at, one in enumerate(measured):
        key = (one.workload, one.mode, one.dtype, one.batch_size, one.device)
        first = seen.setdefault(key, at)
        if first != at:
            yield f"benchmarks[{at}]", f"is the same benchmark as benchmarks[{first}]"
    yield from _about_peaks(_member(document, "metalassay", "selftest"), measured[0].machine)


def about_the_start(before: Conditions) -> Found:
    """Yield what made the run doubtful before it began; heat, speed and battery are judged with its end."""
    place = "metalassay.conditions.before"
    # On a Mac that reports how long its processors worked, the load says nothing: see ``Conditions``.
    known = before.load is not None and before.cores and before.busy is None
    if known and (before.load or 0) > BUSY_BEFORE * (before.cores or 1):
        yield f"{place}.load", f"busy: {before.load:.1f} on {before.cores} processors"
    alone = dataclasses.replace(
        before, load=None, speed_limit=None, thermal_pressure=None, battery=None
    )
    for flag in conditions.flags(alone, alone, seconds=0):
        yield place, flag


def about_marks(flags: list[str], measured: tuple[Measurement, ...]) -> Found:
    """Yield warnings that the conditions imply and no benchmark is marked with.

    One mark is enough: the file of two devices has the conditions before the first and after the last.
    """
    marks = {mark.partition(":")[0] for one in measured for mark in one.flags}
    for flag in flags:
        if flag.partition(":")[0] not in marks:
            yield "metalassay.conditions", f"no benchmark is marked: {flag}"


def about_one(benchmark: Mapping[str, Any], one: Measurement, at: int) -> Found:
    """Yield what contradicts itself in one benchmark."""
    place = f"benchmarks[{at}]"
    yield from _about_workload(benchmark, one, place)
    cores = one.machine.logical_cores
    if cores is not None and one.threads > cores:
        yield f"{place}.extra_info.threads", f"is {one.threads}, on {cores} logical cores"
    implied = [conditions.drifted(conditions.drift(one.seconds))]
    if benchmark["extra_info"].get("steady") is False:
        implied.append("not steady after its warm-up")
    marks = {mark.partition(":")[0].partition(" after")[0] for mark in one.flags}
    for mark in implied:
        if mark and mark.partition(":")[0].partition(" after")[0] not in marks:
            yield f"{place}.extra_info.marks", f"is without what the rounds imply: {mark}"
    yield from _about_statistics(benchmark["stats"], one, f"{place}.stats")


def unknown(document: Mapping[str, Any]) -> Found:
    """Yield the members that our suite does not write where it alone writes."""
    yield from _others(document, _TOP, "")
    hardware = frozenset(field.name for field in dataclasses.fields(Hardware))
    yield from _others(
        _member(document, "machine_info", "hardware"), hardware, "machine_info.hardware"
    )
    about = document["metalassay"]
    yield from _others(
        about, frozenset({"schema", "series", "selftest", "conditions"}), "metalassay"
    )
    moments = _member(about, "conditions")
    yield from _others(moments, frozenset({"before", "after"}), "metalassay.conditions")
    for name in ("before", "after"):
        place = f"metalassay.conditions.{name}"
        yield from _others(_member(moments, name), _SNAPSHOT, place)
    proof, place = _member(about, "selftest"), "metalassay.selftest"
    yield from _others(proof, frozenset({"checks", "roof", "roofs"}), place)
    checks = _member(proof, "checks")
    for at, check in enumerate(checks if isinstance(checks, list) else ()):
        yield from _others(check, frozenset({"name", "passed", "saw"}), f"{place}.checks[{at}]")
    yield from _others(_member(proof, "roof"), _PEAK, f"{place}.roof")
    roofs = _member(proof, "roofs")
    yield from _others(roofs, frozenset({"cpu", "mps", "cuda"}), f"{place}.roofs")
    for name, peak in (roofs if isinstance(roofs, dict) else {}).items():
        yield from _others(peak, _PEAK, f"{place}.roofs.{name}")
    for at, benchmark in enumerate(document["benchmarks"]):
        yield from _others(benchmark, _BENCHMARK, f"benchmarks[{at}]")
        extra, place = benchmark["extra_info"], f"benchmarks[{at}].extra_info"
        yield from _others(extra, _EXTRA, place)
        for name, keys in _EXTRA_PARTS.items():
            yield from _others(extra.get(name), keys, f"{place}.{name}")


def _others(value: object, known: frozenset[str], place: str) -> Found:
    if isinstance(value, dict):
        for key in value:
            if key not in known:
                yield f"{place}.{key}" if place else key, "is not written by metalassay"


def _about_workload(benchmark: Mapping[str, Any], one: Measurement, place: str) -> Found:
    extra = f"{place}.extra_info"
    if one.workload not in UNITS:
        yield f"{extra}.workload", f"{one.workload} is not one of {', '.join(UNITS)}"
        return
    if one.unit != UNITS[one.workload]:
        yield f"{extra}.unit", f"is {one.unit}, but {one.workload} has {UNITS[one.workload]}"
    if one.items_per_call % one.batch_size or (
        one.unit == "samples" and one.items_per_call != one.batch_size
    ):
        yield f"{extra}.items_per_call", f"is {one.items_per_call} in a batch of {one.batch_size}"
    label = f"{one.workload}-b{one.batch_size}-{one.mode}-{one.dtype}"
    for key, end in (("name", f"[{label}]"), ("fullname", f"[{label}]"), ("param", label)):
        text = benchmark.get(key)
        if text is not None and not (isinstance(text, str) and text.endswith(end)):
            yield f"{place}.{key}", f"is {text}, but extra_info describes {label}"
    params = benchmark.get("params")
    if params is not None:
        same = {
            "name": one.workload, "batch_size": one.batch_size, "mode": one.mode, "dtype": one.dtype,
        }  # fmt: skip
        if params != same:
            yield f"{place}.params", f"are not those of {label}"


def _about_statistics(stats: Mapping[str, Any], one: Measurement, place: str) -> Found:
    iterations = stats.get("iterations", 1)
    if not _number(iterations) or iterations < 1:
        yield f"{place}.iterations", "is no number of calls"
        return
    total = math.fsum(one.seconds)
    # The times are those of a call; a round has as many as ``iterations`` says.
    if total * iterations < LEAST_SECONDS:
        yield (
            f"{place}.data",
            f"too short: {total * iterations:.3g} s of rounds, {LEAST_SECONDS:g} s are needed",
        )
    expected = {
        "rounds": one.rounds,
        "total": total,
        "mean": total / one.rounds,
        "ops": one.rounds / total,
        "min": min(one.seconds),
        "max": max(one.seconds),
        "stddev": statistics.stdev(one.seconds) if one.rounds > 1 else 0.0,
    }
    for name, value in expected.items():
        said = stats.get(name, value)
        if not (_number(said) and math.isclose(said, value, rel_tol=SAME, abs_tol=1e-12)):
            yield f"{place}.{name}", f"is {said}, but the rounds in data give {value:.6g}"


def _about_peaks(proof: object, machine: Hardware) -> Found:
    place = "metalassay.selftest"
    roof, roofs = _member(proof, "roof"), _member(proof, "roofs")
    peaks = {f"{place}.roofs.{name}": peak for name, peak in _items(roofs)}
    for name, peak in _items(roofs):
        if _member(peak, "device") != name:
            yield f"{place}.roofs.{name}.device", f"is not {name}"
    if roof is not None:
        peaks[f"{place}.roof"] = roof
        device = _member(roof, "device")
        if isinstance(roofs, dict) and (not isinstance(device, str) or roof != roofs.get(device)):
            yield f"{place}.roof", f"is not the peak that roofs has for {device}"
    for where, peak in peaks.items():
        for key, most in (("gflop_s", MOST_GFLOP_S), ("gb_s", MOST_GB_S)):
            value = _member(peak, key)
            if not _number(value) or not 0 < value <= most:
                yield f"{where}.{key}", f"is {value}: no chip does that"
        threads = _member(peak, "threads")
        if machine.logical_cores and _number(threads) and threads > machine.logical_cores:
            yield f"{where}.threads", f"is {threads}, on {machine.logical_cores} logical cores"


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []


def _member(value: object, *keys: str) -> Any:
    """Return a nested member, None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: object) -> bool:
    """Whether a value is a number that can be computed with: neither NaN nor too long for a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return -1e300 <= value <= 1e300


def _apple(chip: str | None) -> bool:
    return chip is not None and chip.lower().startswith("apple")


def _plain(chip: str) -> str:
    return " ".join(chip.lower().replace("(virtual)", " ").split())
