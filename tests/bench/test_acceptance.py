"""What keeps a contributed file from being accepted, what is only a warning, and what is no result at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bench_files
import pytest
from bench_files import put

from metalassay.bench import acceptance

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def drop(path: str) -> Callable[[Any], None]:
    words = path.split(".")

    def edit(document: Any) -> None:
        for word in words[:-1]:
            document = document[word]
        del document[words[-1]]

    return edit


def found(edit: Callable[[Any], object]) -> list[acceptance.Problem]:
    return acceptance.check(bench_files.edited(edit), now=NOW)


def test_a_calm_run_of_a_known_mac_is_accepted_without_a_warning() -> None:
    assert found(lambda document: None) == []


def loaded(document: Any) -> None:
    """Let a file from before Macs recorded what all processes used have a high load."""
    for moment in document["metalassay"]["conditions"].values():
        del moment["busy"], moment["own"]
        moment["load"] = 30.0


def test_the_load_of_a_mac_that_recorded_what_others_used_says_nothing() -> None:
    assert found(put(f"{AFTER}.load", 30.0)) == []


def warm(document: Any) -> None:
    """Let a Mac become warm during the run, as its marks say."""
    document["metalassay"]["conditions"]["after"]["thermal_pressure"] = "moderate"
    for one in document["benchmarks"]:
        one["extra_info"]["marks"] = ["warm: after the run the thermal pressure was moderate"]


EXTRA = "benchmarks[0].extra_info"
HARDWARE = "machine_info.hardware"
AFTER = "metalassay.conditions.after"


@pytest.mark.parametrize(
    ("edit", "where", "what"),
    [
        (put(f"{HARDWARE}.chip", None), f"{HARDWARE}.chip", "is not known"),
        (put(f"{HARDWARE}.chip", "Apple M99"), f"{HARDWARE}.chip", "is not in chips.toml"),
        (put(f"{HARDWARE}.gpu_cores", 11), f"{HARDWARE}.gpu_cores", "11 GPU cores is not in"),
        (put(f"{HARDWARE}.gpu_cores", None), f"{HARDWARE}.gpu_cores", "is not known"),
        (put(f"{HARDWARE}.memory_bytes", None), f"{HARDWARE}.memory_bytes", "is not known"),
        (put(f"{HARDWARE}.translated", True), f"{HARDWARE}.translated", "Rosetta"),
        (drop("versions.python"), "versions.python", "is missing"),
        (drop("versions.macos"), "versions.macos", "is missing"),
        (drop("versions.torch"), "versions.torch", "is missing"),
        (put("datetime", "2027-06-01T00:00:00+00:00"), "datetime", "is in the future"),
        (put(f"{EXTRA}.emulated", True), "benchmarks", "a rehearsal"),
        (put("metalassay.selftest", None), "metalassay.selftest", "is missing"),
        (
            put("metalassay.selftest.checks[0].passed", False),
            "metalassay.selftest.checks[0]",
            "failed: a busy-wait",
        ),
        (drop("metalassay.selftest.roofs.cpu"), "metalassay.selftest", "peak of cpu is missing"),
        (
            put("metalassay.selftest.roofs.mps.gb_s", 240.0),
            "metalassay.selftest",
            "refused: a triad at 240 GB/s",
        ),
        (
            put("metalassay.selftest.roofs.mps.gflop_s", 9000.0),
            "metalassay.selftest",
            "refused: a matrix product at 9.00 TFLOP/s",
        ),
        (put(f"{EXTRA}.flop_per_call", 10**12), "benchmarks[0].stats", "faster than the chip's"),
        (put(f"{EXTRA}.parity", "forward: 3 values differ"), f"{EXTRA}.parity", "3 values differ"),
        (put(f"{EXTRA}.parity", None), f"{EXTRA}.parity", "is missing"),
        (put(f"{EXTRA}.marks", ["12 MB were swapped"]), f"{EXTRA}.marks", "were swapped"),
        (loaded, "metalassay.conditions", "busy: a load of 30.0"),
        (put(f"{AFTER}.battery", 0.5), "metalassay.conditions", "on battery"),
        (put(f"{AFTER}.power_mode", "low"), "metalassay.conditions", "the power mode changed"),
        (put(f"{AFTER}.swapped", 2**30), "metalassay.conditions", "were swapped"),
        (put(f"{AFTER}.thermal_pressure", "heavy"), "metalassay.conditions", "throttled"),
        (put(f"{AFTER}.background", True), "metalassay.conditions", "in the background"),
        (drop("metalassay.conditions"), "metalassay.conditions", "expected an object"),
        (put("benchmarks[0].options.max_time", 0.1), "benchmarks[0].options.max_time", "too short"),
        (put("benchmarks[0].options", None), "benchmarks[0].options.max_time", "is missing"),
        (put("commit_info.branch", "jane"), "commit_info.branch", "would be removed"),
        (put("versions.torch", "2.13 of jane@example.org"), "top level", "versions.torch: not a value"),
        (put("benchmarks", []), "benchmarks", "is empty"),
        (put("benchmarks[0].stats.median", 1.0), "benchmarks[0].stats", "not that of the rounds"),
    ],
)  # fmt: skip
def test_an_error_names_its_field(edit: Callable[[Any], None], where: str, what: str) -> None:
    errors = [one for one in found(edit) if not one.warning]
    assert any(one.where == where and what in one.what for one in errors), errors


def test_what_a_low_power_mode_slows_down_from_start_to_end_is_an_error() -> None:
    def low(document: Any) -> None:
        for moment in document["metalassay"]["conditions"].values():
            moment["power_mode"] = "low"

    assert str(found(low)[0]) == "metalassay.conditions: the power mode is low"


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (put(f"{HARDWARE}.virtual", True), "a virtual machine"),
        (warm, "warm: "),
        (put(f"{EXTRA}.marks", ["drifted: the last third"]), "drifted: "),
        (put(f"{EXTRA}.marks", ["not steady after its warm-up"]), "not steady"),
        (put("metalassay.selftest.roofs.mps.gb_s", 30.0), "far from the published figure"),
    ],
)
def test_a_warning_does_not_keep_a_file_from_being_accepted(
    edit: Callable[[Any], None], what: str
) -> None:
    problems = found(edit)
    assert problems
    assert all(one.warning for one in problems)
    assert what in problems[0].what


def test_few_rounds_and_scattered_rounds_are_errors() -> None:
    def rounds(data: list[float]) -> Callable[[Any], None]:
        def edit(document: Any) -> None:
            document["benchmarks"][1]["stats"] = {
                "data": data,
                "median": sorted(data)[len(data) // 2],
                "iterations": 50,
            }

        return edit

    (few,) = found(rounds([0.01, 0.01, 0.01]))
    assert few.where == "benchmarks[1].stats.data"
    assert few.what.startswith("too short: 3 rounds")
    wide, drifted = found(rounds([0.01, 0.02, 0.03, 0.04, 0.05]))
    assert "is without what the rounds imply: drifted" in drifted.what
    assert wide.what.startswith("unsteady: the middle half of the rounds spreads over 67%")


def test_errors_come_before_warnings() -> None:
    def both(document: Any) -> None:
        put(f"{HARDWARE}.virtual", True)(document)
        loaded(document)

    assert [one.warning for one in found(both)] == [False, False, True]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[1]", b"{}", b'{"benchmarks": [], "machine_info": {}}', b"[" * 9999,
     json.dumps({"metalassay": {"schema": "another/1"}}).encode()],
)  # fmt: skip
def test_what_is_no_benchmark_run_is_no_result(content: bytes) -> None:
    with pytest.raises(acceptance.NoResultError):
        acceptance.check(content)
