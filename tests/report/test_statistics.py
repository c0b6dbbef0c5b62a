"""Throughput, ratios, and when a ratio would mislead; the numbers are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import StatisticsError
from typing import Any

import pytest
from hand_made import largest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay.report import statistics
from metalassay.results import load
from metalassay.results.parse import Measurement

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]
M4_PRO = load.load([DATA / "constructed_benchmarks_m4_pro.json"]).measurements[0]


def test_throughput_is_items_over_the_median_and_quartiles_of_the_times() -> None:
    # times in order: 1, 2, 4, 5, 10: median 4, quartiles 2 and 5
    rate = statistics.throughput([10.0, 1.0, 4.0, 5.0, 2.0], items=20)
    assert rate == statistics.Throughput(median=5.0, slow=4.0, fast=10.0, rounds=5)


def test_the_median_of_an_even_number_of_rounds_is_the_mean_of_the_middle_two() -> None:
    # 1, 2, 3, 4: median 2.5, quartiles 1.75 and 3.25
    rate = statistics.throughput([4.0, 3.0, 2.0, 1.0], items=1)
    assert rate == statistics.Throughput(1 / 2.5, 1 / 3.25, 1 / 1.75, 4)


def test_three_rounds_have_no_quartiles() -> None:
    assert statistics.throughput([1.0, 2.0, 4.0], items=8) == statistics.Throughput(
        4.0, None, None, 3
    )


def test_without_a_round_there_is_no_throughput() -> None:
    with pytest.raises(StatisticsError):
        statistics.throughput([], items=1)


@settings(deadline=None)
@given(st.lists(st.floats(1e-7, 86_400), min_size=4, max_size=30), st.integers(1, 10**12))
def test_the_median_lies_between_the_quartiles(seconds: list[float], items: int) -> None:
    rate = statistics.throughput(seconds, items)
    assert rate.slow is not None
    assert rate.fast is not None
    assert rate.slow <= rate.median * (1 + 1e-12)
    assert rate.median <= rate.fast * (1 + 1e-12)


def test_a_ratio_is_the_second_median_over_the_first() -> None:
    slow, fast = statistics.throughput([0.4], 100), statistics.throughput([0.1], 100)
    assert statistics.ratio(slow, fast) == 4.0
    assert statistics.ratio(fast, slow) == 0.25


def test_two_machines_that_ran_the_same_are_comparable() -> None:
    assert statistics.differences(M4, M4_PRO) == []


CPU = replace(M4, device="cpu")
NEW = replace(M4, identity="ast1-c0ffee000000")


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        (M4, replace(M4, workload="gpt-tiny"), ["workload transit-cnn and gpt-tiny"]),
        (M4, replace(M4, mode="infer"), ["mode train and infer"]),
        (M4, replace(M4, dtype="bfloat16"), ["dtype float32 and bfloat16"]),
        (M4, replace(M4, batch_size=128), ["batch 64 and 128"]),
        (M4, replace(M4, items_per_call=32), ["items per call 64 samples and 32 samples"]),
        (M4, replace(M4, unit="tokens"), ["items per call 64 samples and 64 tokens"]),
        (M4, replace(M4, parameters=1), ["parameters 42113 and 1"]),
        (NEW, replace(M4, identity="ast1-c0ffee000001"), ["different code of the workload"]),
        (NEW, M4, ["one file is older than the identity of workloads"]),
        (M4, replace(M4, identity="source-0123"), ["different code of the workload"]),
        (M4, replace(M4, versions={"torch": "2.12.0"}), ["torch 2.13.0 and 2.12.0"]),
        (M4, replace(M4, versions={"torch": "2.13.0+cpu"}), []),
        (M4, replace(M4, threads=8), []),
        (CPU, replace(CPU, threads=8), ["threads 4 and 8"]),
        (M4, replace(M4, emulated=True), ["an emulated device"]),
        (M4, replace(M4, parity="forward: 3 of 8 values differ"), ["wrong numbers"]),
        (M4, replace(M4, machine=replace(M4.machine, release="macOS 15.4")), []),
        (M4, replace(M4, machine=replace(M4.machine, release="macOS 26.0")), []),
        (CPU, replace(CPU, machine=replace(M4.machine, release="macOS 26.0")), []),
        (M4, replace(M4, machine=replace(M4.machine, virtual=True)), ["one is a virtual machine"]),
        (
            M4,
            replace(M4, machine=replace(M4.machine, machine="x86_64")),
            ["one Python is translated by Rosetta"],
        ),
        (M4, CPU, ["device mps and cpu"]),
    ],
)
def test_measurements_under_different_conditions_are_not_comparable(
    one: Measurement, other: Measurement, reasons: list[str]
) -> None:
    assert statistics.differences(one, other) == reasons
    assert len(statistics.differences(other, one)) == len(reasons)


@pytest.mark.parametrize(
    ("one", "other", "mark"),
    [
        ("macOS 15.5", "macOS 26.1", "macOS 15.5 / 26.1"),
        ("macOS 26.1", "macOS 15.5", "macOS 26.1 / 15.5"),
        ("macOS 15.1", "macOS 15.4", "macOS 15.1 / 15.4"),
        ("macOS 15.5", "macOS 15.5", ""),
    ],
)
def test_different_versions_of_macos_are_named(one: str, other: str, mark: str) -> None:
    macs = [replace(M4.machine, release=release) for release in (one, other)]
    assert statistics.system_versions(*macs) == mark


def test_a_mac_and_another_system_have_no_versions_to_compare() -> None:
    linux = replace(M4.machine, system="Linux", release="6.1")
    assert statistics.system_versions(M4.machine, linux) == ""
    assert statistics.system_versions(linux, replace(linux, release="6.2")) == ""


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, []),
        ({"threads": 9}, []),
        ({"versions": {"torch": "2.13.0+cpu"}}, []),
        ({"versions": {"torch": "2.12.0"}}, ["torch 2.13.0 and 2.12.0"]),
        (
            {"versions": {"torch": "2.13.0", "metalassay": "0.2"}},
            ["metalassay not recorded and 0.2"],
        ),
        ({"machine": replace(M4_PRO.machine, virtual=True)}, ["one is a virtual machine"]),
        ({"machine": replace(M4_PRO.machine, release="macOS 26.1")}, []),
        ({"emulated": True}, ["an emulated device"]),
    ],
)
def test_searches_under_different_conditions_are_not_comparable(
    changes: dict[str, Any], reasons: list[str]
) -> None:
    other = largest(**{"machine": M4_PRO.machine, **changes})
    assert statistics.search_differences(largest(), other) == reasons
