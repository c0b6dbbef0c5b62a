"""The files of other projects' benchmarks: what is read, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import constructed_suites as made
import pytest

from metalassay.fields import FieldError
from metalassay.results import anonymise, load, parse
from metalassay.results.suite_file import SuiteFile

NAME = "bench/test_rows.py::test_sort[10]"


def read(document: dict[str, Any]) -> SuiteFile:
    found = parse.parse(json.dumps(document).encode(), "x.json")
    assert isinstance(found, SuiteFile)
    return found


def test_what_assay_recorded_is_read() -> None:
    (one,) = read(made.assayed(made.M4, {NAME: made.ROUNDS}, waits_for="mps", threads=4)).times
    assert one.run.assayed
    assert (one.run.project, one.run.machine.chip, one.run.commit) == (
        "tables",
        "Apple M4",
        40 * "a",
    )
    assert (one.run.python, one.run.power_mode, one.run.thermal_pressure) == (
        "CPython 3.12.4",
        "automatic",
        "nominal",
    )
    assert (one.name, one.median, one.rounds, one.raw) == (NAME, 0.0021, 5, True)
    assert (one.low, one.high) == (0.0021, 0.0022)
    assert (one.identity, one.waits_for, one.threads) == ("src1-0123456789ab", "mps", 4)


def test_a_plain_file_has_a_machine_and_unknown_conditions() -> None:
    (one,) = read(made.plain({NAME: made.ROUNDS})).times
    assert not one.run.assayed
    assert (one.run.machine.chip, one.run.machine.release) == ("Apple M4", "Darwin 25.1.0")
    assert (one.identity, one.waits_for, one.run.power_mode) == (None, None, None)
    assert one.run.info
    assert "host" not in repr(one)


def test_a_summary_keeps_its_own_quartiles() -> None:
    (one,) = read(made.plain({NAME: made.ROUNDS}, raw=False)).times
    assert not one.raw
    assert (one.median, one.low, one.high, one.rounds) == (0.0021, 0.0021, 0.0022, 5)


def test_a_machine_info_is_one_machine_whatever_its_clock_rate() -> None:
    infos = [
        read(made.plain({NAME: made.ROUNDS}, when=when, node=node)).times[0].run.info
        for when, node in (
            ("2026-11-29T10:00:00", "a"),
            ("2026-11-30T10:00:00+00:00", "a"),
            ("2026-11-29T10:00:00", "b"),
        )
    ]
    assert infos[0] == infos[1] != infos[2]


def edit(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        at: Any = document
        for key in way:
            at = at[int(key) if key.isdecimal() else key]
        at[last] = value

    return change


STATS = "benchmarks.0.stats"


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (f"{STATS}.median", 0.5, "the median is not that of the rounds"),
        (f"{STATS}.median", "fast", "expected a number"),
        (f"{STATS}.median", float("nan"), "expected a number from 0"),
        (f"{STATS}.data", [0.002, -1.0], "expected a number from 0"),
        (f"{STATS}.data", [0.002, 1e9], "expected a number from 0"),
        (f"{STATS}.data", [], "expected at least one round"),
        (f"{STATS}.rounds", 0, "expected a whole number of at least 1"),
        (f"{STATS}.rounds", True, "expected a whole number"),
        ("benchmarks.0.fullname", ["x"], "expected text"),
        ("benchmarks.0.fullname", " ", "expected text that is not empty"),
        ("benchmarks", [], "no benchmark ended"),
        ("benchmarks", {}, "expected a list"),
        ("commit_info", "x", "expected an object"),
        ("commit_info.dirty", 1, "expected true or false"),
        ("machine_info.cpu", "x", "expected an object"),
        ("machine_info.cpu.count", -1, "expected a whole number"),
        ("machine_info.python_build", [1], "expected text"),
        ("datetime", "yesterday", "expected a time"),
    ],
)
def test_a_plain_file_that_lies_is_refused(path: str, value: object, error: str) -> None:
    document = made.plain({NAME: made.ROUNDS})
    edit(path, value)(document)
    with pytest.raises(FieldError, match=error):
        read(document)


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("machine_info.hardware", None, "expected an object"),
        ("versions", {"numpy": 3}, "expected text"),
        ("metalassay.conditions", {}, "after is missing"),
        ("metalassay.schema", "metalassay.suite/2", "written by a newer metalassay"),
        ("metalassay.emulated", "no", "expected true or false"),
        ("benchmarks.0.metalassay.threads", 0, "expected a whole number"),
        ("benchmarks.0.metalassay.waits_for", "tpu", "expected one of"),
        ("benchmarks.0.stats.data", None, "no times of the rounds"),
    ],
)
def test_a_file_of_assay_that_lies_is_refused(path: str, value: object, error: str) -> None:
    document = made.assayed(made.M4, {NAME: made.ROUNDS})
    edit(path, value)(document)
    with pytest.raises(FieldError, match=error):
        read(document)


def test_a_summary_whose_median_is_outside_its_quartiles_is_refused() -> None:
    document = made.plain({NAME: made.ROUNDS}, raw=False)
    edit("benchmarks.0.stats.q3", 0.001)(document)
    with pytest.raises(FieldError, match="not between the quartiles"):
        read(document)


def test_names_and_words_of_strangers_are_bounded_and_on_one_line() -> None:
    document = made.assayed(made.M4, {NAME: made.ROUNDS}, marks=["a" * 10_000])
    document["benchmarks"][0]["fullname"] = "test\n\x1b[31m_x\u202e"
    document["metalassay"]["project"] = "p\n" * 5000
    document["versions"]["evil"] = "9" * 5000
    (one,) = read(document).times
    assert one.name == "test _x\ufffd"
    assert "\n" not in one.run.project
    assert max(len(one.run.project), len(one.flags[0]), len(one.run.versions["evil"])) == 300


def test_a_benchmark_that_ran_twice_counts_once() -> None:
    document = made.plain({NAME: made.ROUNDS})
    again = copy.deepcopy(document["benchmarks"][0])
    document["benchmarks"].append(again)
    assert len(read(document).times) == 1


@pytest.mark.parametrize("raw", [True, False])
def test_no_file_of_another_project_is_submitted(raw: bool) -> None:
    for document in (
        made.plain({NAME: made.ROUNDS}, raw=raw),
        made.assayed(made.M4, {NAME: made.ROUNDS}),
    ):
        with pytest.raises(FieldError, match="of another project, whose names may be private"):
            anonymise.strip(json.dumps(document).encode())


def test_load_keeps_them_apart_from_our_workloads(tmp_path: Path) -> None:
    folder = made.write(
        tmp_path, made.plain({NAME: made.ROUNDS}), made.assayed(made.M4, {NAME: made.ROUNDS})
    )
    loaded = load.load([folder])
    assert loaded.warnings == ()
    assert loaded.measurements == ()
    assert sorted(one.run.assayed for one in loaded.suites) == [False, True]
