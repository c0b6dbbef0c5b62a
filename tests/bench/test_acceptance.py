"""What keeps a contributed file from being accepted, what is only a warning, and what is no result at all."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench_files
import pytest

from metalassay.bench import acceptance, contradictions, suite
from metalassay.workloads import registry

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def put(path: str, value: object) -> Callable[[Any], None]:
    """Return an edit that sets a value; a path is as in a.b[0].c."""
    words = path.replace("[", ".[").split(".")

    def edit(document: Any) -> None:
        for word in words[:-1]:
            document = document[int(word[1:-1]) if word.startswith("[") else word]
        document[words[-1]] = value

    return edit


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
        (put("versions.torch", "2.13 of jane@example.org"), "top level", "would change its results"),
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


ACCEPTED = json.loads(
    min((Path(__file__).parents[2] / "docs" / "results").glob("*.json")).read_text("utf-8")
)
"""A file that is accepted: each case below changes one thing in it."""


def both(*edits: Callable[[Any], None]) -> Callable[[Any], None]:
    def edit(document: Any) -> None:
        for each in edits:
            each(document)

    return edit


def short(document: Any) -> None:
    document["benchmarks"][0]["stats"] = {"data": [0.02] * 9, "median": 0.02, "iterations": 5}


def twice(document: Any) -> None:
    document["benchmarks"].append(copy.deepcopy(document["benchmarks"][0]))


def slower(document: Any) -> None:
    data = [0.02] * 40 + [0.025] * 40
    document["benchmarks"][0]["stats"] = {"data": data, "median": 0.0225, "iterations": 1}


BEFORE = "metalassay.conditions.before"
STATS = "benchmarks[0].stats"
ROOF = "metalassay.selftest.roof"
ENVIRONMENT = f"{BEFORE}.environment.MALLOC_NOTE"


@pytest.mark.parametrize(
    ("edit", "where", "what"),
    [
        (both(put(f"{HARDWARE}.chip", "Apple M4"), put("machine_info.cpu.brand_raw", "Apple M4")),
         f"{HARDWARE}.chip", "is Apple M4, but the system is Linux"),
        (put(f"{HARDWARE}.chip", "Intel(R) Xeon(R) Gold"), f"{HARDWARE}.chip", "cpu.brand_raw is Intel"),
        (put("machine_info.cpu.brand_raw", "Apple M4"), f"{HARDWARE}.chip", "cpu.brand_raw is Apple M4"),
        (put("machine_info.machine", "arm64"), f"{HARDWARE}.machine", "machine_info.machine is arm64"),
        (put(f"{HARDWARE}.memory_bytes", 2**29), f"{HARDWARE}.memory_bytes", "less than 1 GiB"),
        (short, f"{STATS}.data", "too short: 0.9 s of rounds"),
        (put(f"{STATS}.iterations", 0), f"{STATS}.iterations", "no number of calls"),
        (put("benchmarks[0].options.max_time", 1e5), "benchmarks[0].options.max_time", "from 0 to 3600"),
        *((put(f"{STATS}.{name}", 7.5), f"{STATS}.{name}", "is 7.5, but the rounds in data give")
          for name in ("mean", "ops", "rounds", "total", "min", "max", "stddev")),
        (put(f"{STATS}.median", 7.5), STATS, "the median is not that of the rounds"),
        (put(f"{EXTRA}.threads", 64), f"{EXTRA}.threads", "is 64, on 2 logical cores"),
        (twice, "benchmarks[4]", "is the same benchmark as benchmarks[0]"),
        (put(f"{EXTRA}.workload", "gpt-huge"), f"{EXTRA}.workload", "is not one of transit-cnn"),
        (put(f"{EXTRA}.workload", "gpt-tiny"), "benchmarks[0].name", "describes gpt-tiny-b4-train-float32"),
        (put(f"{EXTRA}.batch_size", 8), "benchmarks[0].params", "not those of gpt-small-b8"),
        (put(f"{EXTRA}.dtype", "float16"), "benchmarks[0].param", "describes gpt-small-b4-train-float16"),
        (put(f"{EXTRA}.unit", "samples"), f"{EXTRA}.unit", "but gpt-small has tokens"),
        (put(f"{EXTRA}.items_per_call", 513), f"{EXTRA}.items_per_call", "in a batch of 4"),
        (put(f"{ROOF}.gb_s", 100.0), ROOF, "is not the peak that roofs has for cpu"),
        (put(f"{ROOF}s.cpu.device", "mps"), f"{ROOF}s.cpu.device", "is not cpu"),
        (put(f"{ROOF}s.cpu.gflop_s", 2e6), f"{ROOF}s.cpu.gflop_s", "no chip does that"),
        (put(f"{ROOF}s.cpu.gb_s", 3e4), f"{ROOF}s.cpu.gb_s", "no chip does that"),
        (put(f"{ROOF}s.cpu.threads", 64), f"{ROOF}s.cpu.threads", "on 2 logical cores"),
        (put("versions.numpy", "the newest"), "versions.numpy", "is no version"),
        (put("datetime", "2024-12-31T00:00:00+00:00"), "datetime", "before there was"),
        (put(f"{BEFORE}.load", 4.5), f"{BEFORE}.load", "busy: 4.5 on 2 processors"),
        (put(f"{BEFORE}.pressure", "critical"), BEFORE, "memory pressure: critical"),
        (put(f"{BEFORE}.niceness", 10), BEFORE, "niceness 10"),
        (put(f"{AFTER}.thermal_pressure", "moderate"), "metalassay.conditions", "no benchmark is marked: warm"),
        (put("benchmarks[3].extra_info.marks", []), "benchmarks[3].extra_info.marks", "imply: drifted"),
        (slower, f"{EXTRA}.marks", "imply: drifted"),
        (put(f"{EXTRA}.steady", False), f"{EXTRA}.marks", "imply: not steady"),
        (put(ENVIRONMENT, "on 10.11.12.13 now"), ENVIRONMENT, "network address"),
        (put("machine_info.release", "6.1 on 10.1.2.3"), "machine_info.release", "network address"),
        (put(ENVIRONMENT, "fe80::1c2d:3e4f%en0"), ENVIRONMENT, "network address"),
        (put(ENVIRONMENT, "~jane/lib/x.so"), ENVIRONMENT, "path"),
        (put(ENVIRONMENT, "jane\uff20example.org"), ENVIRONMENT, "e-mail address"),
        (put("note", "hello"), "note", "is not written by metalassay"),
        *((put(f"{place}.note", "hello"), f"{place}.note", "is not written by metalassay")
          for place in ("metalassay", "metalassay.selftest", "metalassay.selftest.checks[0]", ROOF, BEFORE,
                        f"{ROOF}s.cpu", HARDWARE, "benchmarks[0]", EXTRA, f"{EXTRA}.power", f"{EXTRA}.memory")),
    ],
)  # fmt: skip
def test_an_accepted_file_that_somebody_edited_is_refused_at_that_field(
    edit: Callable[[Any], None], where: str, what: str
) -> None:
    document = copy.deepcopy(ACCEPTED)
    assert all(one.warning for one in acceptance.check(json.dumps(document).encode(), now=NOW))
    edit(document)
    problems = acceptance.check(json.dumps(document).encode(), now=NOW)
    errors = [one for one in problems if not one.warning]
    assert any(one.where == where and what in one.what for one in errors), errors


@pytest.mark.parametrize(
    "value", [None, True, [], {}, -1, 10**400, float("nan"), "\x1b[2J\n" + "x" * 9999, [[1]]]
)
def test_no_value_breaks_the_check_or_the_terminal(value: object) -> None:
    fields = [
        ENVIRONMENT, ROOF, f"{ROOF}.device", f"{ROOF}s", f"{ROOF}s.cpu", f"{ROOF}s.cpu.threads", f"{ROOF}.gb_s",
        "metalassay.selftest.checks", "metalassay.conditions", BEFORE, f"{BEFORE}.load", "machine_info.cpu",
        "machine_info.cpu.brand_raw", "machine_info.machine", "benchmarks[0].name", "benchmarks[0].params",
        "benchmarks[0].param", f"{STATS}.iterations", f"{STATS}.ops", f"{EXTRA}.steady", f"{EXTRA}.power",
        f"{EXTRA}.memory", "benchmarks[0].options", "benchmarks[0].options.max_time", "versions.numpy", "note",
    ]  # fmt: skip
    for field in fields:
        document = copy.deepcopy(ACCEPTED)
        put(field, value)(document)
        for one in acceptance.check(json.dumps(document).encode(), now=NOW):
            assert str(one).isprintable(), field
            assert len(str(one)) < 1000, field


def test_the_workloads_of_the_check_are_those_of_the_registry() -> None:
    assert {one.name: one.unit for one in registry.WORKLOADS.values()} == contradictions.UNITS
    assert {name for name, _ in suite.FULL} == set(registry.WORKLOADS)
