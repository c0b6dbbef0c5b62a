"""Which of several runs stand side by side."""

from __future__ import annotations

import json
from typing import Any

import constructed_suites as made

from metalassay.report.machines import identity
from metalassay.report.sections import suite_pairs
from metalassay.results import parse
from metalassay.results.suite_file import SuiteFile, SuiteTime

NAME = "bench/test_rows.py::test_sort"


def of(document: dict[str, Any], file: str) -> SuiteTime:
    found = parse.parse(json.dumps(document).encode(), file)
    assert isinstance(found, SuiteFile)
    return found.times[0]


def test_a_machine_without_the_benchmark_has_an_empty_cell() -> None:
    one = of(made.assayed(made.M4_PRO, {NAME: made.ROUNDS}), "a.json")
    other = of(made.assayed(made.M4, {"test_else": made.ROUNDS}), "b.json")
    machines = [identity(time.run.machine) for time in (other, one)]
    rows = suite_pairs.of_machines([one, other], machines)
    assert [(row.name, [side and side.name for side in row.sides]) for row in rows] == [
        (NAME, [None, NAME]),
        ("test_else", ["test_else", None]),
    ]
    assert {row.ratios[0].why for row in rows} == {"not measured on both"}


def test_many_differences_are_counted() -> None:
    one = of(made.assayed(made.M4, {NAME: made.ROUNDS}), "a.json")
    document = made.assayed(made.M4_PRO, {NAME: made.ROUNDS}, identity="src1-2", waits_for="mps")
    document["versions"]["numpy"] = "1.0"
    document["commit_info"]["id"] = "b" * 40
    other = of(document, "b.json")
    assert len(suite_pairs.differences(one, other)) == 4
    machines = [identity(time.run.machine) for time in (one, other)]
    (row,) = suite_pairs.of_machines([one, other], machines)
    assert row.ratios[0].why.endswith("; 1 more")


def test_threads_matter_where_nothing_waits_for_a_gpu() -> None:
    for waits, expected in (("", ["threads 4 and 8"]), ("mps", [])):
        one, other = (
            of(
                made.assayed(made.M4, {NAME: made.ROUNDS}, threads=number, waits_for=waits),
                "x.json",
            )
            for number in (4, 8)
        )
        assert suite_pairs.differences(one, other) == expected
