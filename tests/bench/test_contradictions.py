"""What a file that somebody edited says twice, and differently; each case changes one thing in an accepted file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bench_files import put

from metalassay.bench import acceptance, contradictions, suite
from metalassay.workloads import registry

NOW = datetime(2026, 11, 29, tzinfo=UTC)
EXTRA = "benchmarks[0].extra_info"
HARDWARE = "machine_info.hardware"
AFTER = "metalassay.conditions.after"


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
ENVIRONMENT = f"{BEFORE}.environment.MALLOC_TRIM_THRESHOLD_"


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
        (put(f"{BEFORE}.environment.MALLOC_NOTE", "1"), f"a key of {BEFORE}.environment", "would be removed"),
        (put(ENVIRONMENT, "on 10.11.12.13 now"), ENVIRONMENT, "would be removed"),
        (put("machine_info.release", "6.1 on 10.1.2.3"), "machine_info.release", "would be removed"),
        (put(ENVIRONMENT, "fe80::1c2d:3e4f%en0"), ENVIRONMENT, "would be removed"),
        (put(ENVIRONMENT, "~jane/lib/x.so"), ENVIRONMENT, "would be removed"),
        (put(ENVIRONMENT, "jane\uff20example.org"), ENVIRONMENT, "would be removed"),
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
    units = {one.name: one.unit for one in registry.WORKLOADS.values()}
    assert units | dict.fromkeys(suite.RLHF, "samples") == contradictions.UNITS
    assert {name for name, _ in suite.FULL} == set(registry.WORKLOADS)
