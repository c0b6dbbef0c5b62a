"""The file of a search for the largest batch: written by the command, read by the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hand_made import LINUX, M4

from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.machine.hardware import Hardware
from metalassay.results import load, max_batch_file
from metalassay.results.parse import LargestBatch, parse
from metalassay.workers import max_batch
from metalassay.workers.max_batch import Try
from metalassay.workers.specs import Spec

TRIES = [
    Try(1, True, 100),
    Try(2, True, 200),
    Try(4, False, None, "out of memory"),
    Try(3, True, 300, driver_seen=5000),
]


def document(machine: Hardware = M4, **changes: Any) -> dict[str, Any]:
    made = max_batch_file.document(
        workload="transit-cnn",
        mode="train",
        device="mps",
        dtype="float32",
        threads=1,
        malloc="default",
        emulated=False,
        tries=max_batch_file.as_tries(TRIES),
        started="2026-11-21T13:00:00+00:00",
        seconds=12.3456,
        versions={"torch": "2.13.0"},
        machine=machine,
    )
    return {**made, **changes}


def read(made: dict[str, Any]) -> LargestBatch:
    found = parse(json.dumps(made).encode(), "x.json")
    assert isinstance(found, LargestBatch)
    return found


def test_the_result_is_derived_from_the_tries() -> None:
    found = read(document())
    assert (found.largest, found.limit, found.why) == (3, 4, "out of memory")
    assert (found.peak_bytes, found.machine, found.file) == (300, M4, "x.json")
    assert found.driver_bytes == 5000


def test_a_file_from_before_the_driver_was_asked_has_none() -> None:
    tries = [{"batch": 8, "fits": True, "peak_rss": 100, "why": ""}]
    found = read(document(tries=tries))
    assert (found.peak_bytes, found.driver_bytes) == (100, None)


def test_without_a_failure_there_is_no_limit_and_without_a_success_the_largest_is_0() -> None:
    fits = [{"batch": 8, "fits": True, "peak_rss": None, "why": ""}]
    assert read(document(tries=fits)).limit is None
    fails = [{"batch": 1, "fits": False, "peak_rss": None, "why": "its process was killed"}]
    found = read(document(tries=fails))
    assert (found.largest, found.limit, found.peak_bytes) == (0, 1, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tries": []}, "at least one try"),
        ({"tries": [{"batch": 1, "fits": False, "peak_rss": None, "why": " "}]}, "the reason"),
        ({"tries": [{"batch": 0, "fits": True, "peak_rss": None, "why": ""}]}, "at least 1"),
        (
            {
                "tries": [
                    {"batch": 2, "fits": False, "peak_rss": None, "why": "x"},
                    {"batch": 4, "fits": True, "peak_rss": None, "why": ""},
                ]
            },
            "a batch of 2 did not fit, but one of 4 did",
        ),
        ({"device": "tpu"}, "one of"),
        ({"mode": "sleep"}, "one of"),
        ({"versions": {}}, "torch is missing"),
        ({"schema": "metalassay.maxbatch/2"}, "newer metalassay"),
        ({"schema": "metalassay.maxbatch/x"}, "expected metalassay.maxbatch/1"),
        ({"emulated": "no"}, "true or false"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        read(document(**changes))


def test_mps_on_linux_is_refused_unless_it_was_emulated() -> None:
    with pytest.raises(FieldError, match="but the machine runs Linux"):
        read(document(LINUX))
    assert read(document(LINUX, emulated=True)).emulated


def test_the_command_saves_a_file_that_the_report_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(spec: Spec, batch: int) -> Try:
        return Try(batch, batch <= 5, 2**20 * batch, "" if batch <= 5 else "out of memory")

    monkeypatch.setattr(max_batch, "attempt", attempt)
    assert main(["max-batch", "transit-cnn:infer:threads=2", "--save", str(tmp_path)]) == 0
    (file,) = (tmp_path / "maxbatch").iterdir()
    assert file.name.startswith("transit-cnn-infer-cpu-float32-2")
    assert str(file) in capsys.readouterr().err
    loaded = load.load([tmp_path])
    assert loaded.warnings == ()
    (found,) = loaded.batches
    assert (found.largest, found.limit, found.threads, found.mode) == (5, 6, 2, "infer")
    assert not found.emulated


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(max_batch, "attempt", lambda spec, batch: Try(batch, batch < 2, None, "x"))
    (tmp_path / "maxbatch").write_text("a file where the folder should be")
    assert main(["max-batch", "transit-cnn", "--save", str(tmp_path)]) == 2
    assert "cannot write" in capsys.readouterr().err
