"""The file of a run: merged from the devices' files, named after the machine, compared with the last one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench_files
import pytest
from hand_made import LINUX, M4

from metalassay.bench import result_file
from metalassay.errors import UserError
from metalassay.machine.hardware import from_dict
from metalassay.results import parse

DAY = datetime(2026, 11, 28, 13, tzinfo=UTC)


def test_each_device_keeps_its_own_measured_peak() -> None:
    first, last = bench_files.of_one_device("mps"), bench_files.of_one_device("cpu")
    last["datetime"] = "2026-11-28T13:05:00+00:00"
    last["metalassay"]["conditions"]["after"]["load"] = 3.5
    merged = result_file.merge([first, last])
    measured = parse.parse(json.dumps(merged).encode(), "x")
    assert isinstance(measured, tuple)
    assert {one.device: one.measured_peak for one in measured} == bench_files.PEAKS
    assert merged["datetime"] == last["datetime"]
    assert merged["metalassay"]["conditions"]["before"]["load"] == 2.0
    assert merged["metalassay"]["conditions"]["after"]["load"] == 3.5
    assert len(merged["metalassay"]["selftest"]["checks"]) == 2
    assert len(first["benchmarks"]) == 2, "the input was changed"


def test_an_emulated_device_has_no_proof_and_takes_none_away() -> None:
    first, last = bench_files.of_one_device("mps"), bench_files.of_one_device("cpu")
    first["metalassay"]["selftest"] = None
    proof = result_file.merge([first, last])["metalassay"]["selftest"]
    assert set(proof["roofs"]) == {"cpu"}
    assert result_file.merge([first])["metalassay"]["selftest"] is None


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (M4, "metalassay-apple-m4-10gpu-16gb-2026-11-28"),
        (
            replace(LINUX, chip="AMD EPYC 7B13 64-Core Processor", physical_cores=2),
            "metalassay-amd-epyc-7b13-64-core-2core-64gb-2026-11-28",
        ),
        (
            replace(
                LINUX, chip="Intel(R) Xeon(R) CPU @ 2.20GHz", physical_cores=None, logical_cores=4
            ),
            "metalassay-intel-xeon-4core-64gb-2026-11-28",
        ),
        (
            replace(
                LINUX, chip="../../x", physical_cores=None, logical_cores=None, memory_bytes=None
            ),
            "metalassay-x-2026-11-28",
        ),
    ],
)
def test_the_name_is_that_of_machine_and_day(machine: Any, name: str) -> None:
    machine = replace(machine, gpu=None) if machine is not M4 else machine
    if machine.memory_bytes and machine is not M4:
        machine = replace(machine, memory_bytes=64 * 2**30)
    assert result_file.stem(machine, DAY) == name


def test_a_rehearsal_says_so_in_its_name() -> None:
    name = result_file.stem(M4, DAY, emulated=True)
    assert name == "metalassay-rehearsal-apple-m4-10gpu-16gb-2026-11-28"


def test_a_second_run_of_a_day_replaces_nothing(tmp_path: Path) -> None:
    assert result_file.free_name(tmp_path, "a") == "a"
    (tmp_path / "a.json").touch()
    (tmp_path / "a-2.json").touch()
    assert result_file.free_name(tmp_path, "a") == "a-3"


def test_a_folder_that_cannot_be_written_to_is_found_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        result_file.prepare(tmp_path / "file" / "below")
    result_file.prepare(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_no_room_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        result_file.prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_last_run_is_the_newest_of_this_machine_before_this_one(tmp_path: Path) -> None:
    machine = from_dict(bench_files.HARDWARE)

    def write(name: str, when: str, **changes: Any) -> None:
        document = bench_files.document()
        document["datetime"] = when
        document["machine_info"]["hardware"] |= changes
        (tmp_path / name).write_text(json.dumps(document))

    write("metalassay-a.json", "2026-11-20T13:00:00+00:00", release="macOS 15.0")
    write("metalassay-b.json", "2026-11-21T13:00:00+00:00")
    write("metalassay-c.json", "2026-11-22T13:00:00+00:00", memory_bytes=2**35)
    write("metalassay-d.json", "2026-12-24T13:00:00+00:00")
    write("other-e.json", "2026-11-23T13:00:00+00:00")
    (tmp_path / "metalassay-f.json").write_text("{")
    last = result_file.earlier(tmp_path, machine, DAY)
    assert {one.when.day for one in last} == {21}
    assert result_file.earlier(tmp_path, replace(machine, chip="Apple M1"), DAY) == []


def test_what_identifies_the_owner_is_not_in_the_file() -> None:
    document = bench_files.document()
    document["commit_info"] |= {"project": "janes-project", "branch": "x"}
    text = result_file.strip(document)
    assert "jane" not in text
    document["benchmarks"] = []
    with pytest.raises(UserError, match="the result cannot be used"):
        result_file.strip(document)
