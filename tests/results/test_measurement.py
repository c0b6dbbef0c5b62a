"""Benchmark files: the fields that are read, and the pooling of several processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metalassay.results import load
from metalassay.results.measurement import Measurement, pool

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]


def series(one: Measurement, name: str, *medians: float) -> list[Measurement]:
    return [
        replace(one, series=name, seconds=(median * 0.9, median, median * 5), file=f"{i}.json")
        for i, median in enumerate(medians)
    ]


def test_the_files_of_a_series_become_one_measurement_with_one_median_per_process() -> None:
    (found,) = pool(series(M4, "x", 1.0, 2.0, 4.0))
    assert found.seconds == (1.0, 2.0, 4.0)
    assert found.processes == 3


def test_measurements_outside_a_series_or_of_another_one_are_not_pooled() -> None:
    assert len(pool([M4, M4])) == 2
    assert len(pool([*series(M4, "x", 1.0, 2.0), *series(M4, "y", 1.0)])) == 2
    other = replace(M4, identity="ast1-000000000000")
    assert len(pool([*series(M4, "x", 1.0), *series(other, "x", 1.0)])) == 2


def test_a_pooled_measurement_has_the_flags_of_every_process_once() -> None:
    two = series(replace(M4, flags=("hot",)), "x", 1.0) + series(
        replace(M4, flags=("hot", "busy")), "x", 2.0
    )
    assert pool(two)[0].flags == ("hot", "busy")


def test_a_field_that_an_older_file_lacks_is_unknown() -> None:
    assert (M4.compulsory_bytes, M4.malloc, M4.measured_peak, M4.series) == (
        None,
        "default",
        None,
        None,
    )


def test_the_optional_fields_are_read(tmp_path: Path) -> None:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    document["metalassay"] |= {
        "series": "abc",
        "selftest": {"checks": [], "roof": {"gflop_s": 100.0, "gb_s": 20.0}},
        "conditions": {
            "before": {"thermal_pressure": "heavy"},
            "after": {"power_mode": "low power", "thermal_pressure": "nominal"},
        },
    }
    for benchmark in document["benchmarks"]:
        benchmark["extra_info"] |= {
            "marks": ["hot"], "malloc": "tuned", "compulsory_bytes_per_call": 5,
        }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(document))
    loaded = load.load([tmp_path / "x.json"])
    assert loaded.warnings == ()
    one = loaded.measurements[0]
    assert (one.series, one.measured_peak, one.power_mode) == ("abc", (100.0, 20.0), "low")
    assert one.thermal_pressure == "heavy"  # the hotter of the two
    assert (one.flags, one.malloc, one.compulsory_bytes) == (("hot",), "tuned", 5)


@pytest.mark.parametrize("source", ["TDP", "unavailable", ""])
def test_watts_of_an_unknown_source_are_refused(tmp_path: Path, source: str) -> None:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    power = {"watts": 9.0, "rail": "x", "tool": "x", "source": source, "per_watt": 1.0}
    document["benchmarks"][0]["extra_info"]["power"] = power
    (tmp_path / "x.json").write_text(json.dumps(document))
    assert "power.source: expected one of" in load.load([tmp_path / "x.json"]).warnings[0]


def test_the_newest_file_of_a_series_gives_the_other_fields() -> None:
    first, last = series(M4, "x", 1.0, 2.0)
    newest = replace(first, when=first.when + timedelta(hours=1), file="newest.json")
    (pooled,) = pool([newest, last])
    assert (pooled.file, pooled.when) == (newest.file, newest.when)
    assert pooled.seconds == (1.0, 2.0)


def test_a_pooled_measurement_has_the_bandwidth_and_the_power_of_every_process() -> None:
    runs = [
        replace(one, measured_peak=(1.0, gb_s), watts=watts, watts_from="GPU", per_watt=2 * watts)
        for one, gb_s, watts in zip(
            series(M4, "x", 1.0, 2.0, 3.0), (90.0, 100.0, 95.0), (9.0, 30.0, 12.0), strict=True
        )
    ]
    (pooled,) = pool(runs)
    assert pooled.each_gb_s == (90.0, 100.0, 95.0)
    assert (pooled.each_watts, pooled.watts) == ((9.0, 30.0, 12.0), 12.0)
    assert (pooled.each_per_watt, pooled.per_watt) == ((18.0, 60.0, 24.0), 24.0)


def test_watts_of_other_rails_are_not_pooled() -> None:
    first, second, last = series(replace(M4, watts=9.0, watts_from="GPU"), "x", 1.0, 2.0, 3.0)
    newest = replace(last, when=last.when + timedelta(hours=1))
    (pooled,) = pool([first, replace(second, watts=20.0, watts_from="CPU + GPU"), newest])
    assert pooled.each_watts == (9.0, 9.0)
    assert pooled.each_per_watt == ()


def read(tmp_path: Path, edit: Callable[[Any], object]) -> load.Loaded:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    edit(document)
    (tmp_path / "x.json").write_text(json.dumps(document))
    return load.load([tmp_path / "x.json"])


def test_a_mac_whose_file_was_written_on_another_system_is_refused(tmp_path: Path) -> None:
    def on_linux(document: Any) -> None:
        document["machine_info"]["system"] = "Linux"

    found = read(tmp_path, on_linux)
    assert found.measurements == ()
    assert "it ran on Linux, but its hardware runs Darwin" in found.warnings[0]


def test_everything_in_the_file_of_an_emulated_device_is_emulated(tmp_path: Path) -> None:
    def rehearse(document: Any) -> None:
        document["machine_info"]["system"] = "Linux"
        document["benchmarks"][0]["extra_info"]["emulated"] = True
        document["benchmarks"][1]["extra_info"]["device"] = "cpu"

    found = read(tmp_path, rehearse)
    assert found.warnings == ()
    assert {(one.device, one.emulated) for one in found.measurements} == {
        ("mps", True),
        ("cpu", True),
    }


def test_a_peak_of_another_device_is_not_that_of_a_benchmark(tmp_path: Path) -> None:
    document = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
    roof = {"device": "cpu", "gflop_s": 10.0, "gb_s": 20.0}
    document["metalassay"]["selftest"] = {"roof": roof}
    file = tmp_path / "run.json"

    def peaks() -> dict[str, object]:
        file.write_text(json.dumps(document))
        return {one.device: one.measured_peak for one in load.load([file]).measurements}

    assert peaks()["mps"] is None
    document["metalassay"]["selftest"]["roofs"] = {"mps": {**roof, "device": "mps", "gb_s": 30.0}}
    assert peaks()["mps"] == (10.0, 30.0)
