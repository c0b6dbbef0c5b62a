"""`metalassay max-batch`: progress on stderr, the answer on stdout."""

from __future__ import annotations

import json

import pytest

from metalassay.cli.main import main
from metalassay.workers import max_batch
from metalassay.workers.max_batch import Try


@pytest.fixture(autouse=True)
def memory_for_five(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(spec: object, batch: int) -> Try:
        return Try(batch, batch <= 5, 2**20 * batch, "" if batch <= 5 else "out of memory")

    monkeypatch.setattr(max_batch, "attempt", attempt)


def test_every_try_is_on_stderr_and_the_answer_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["max-batch", "transit-cnn"]) == 0
    out, err = capsys.readouterr()
    assert out == "largest batch on cpu: 5; 6 does not fit\n"
    assert "batch 4: fits, peak 4 MB\n" in err
    assert "batch 8: does not fit: out of memory\n" in err


def test_the_memory_of_the_driver_stands_beside_the_resident_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = lambda spec, batch: Try(batch, True, 2**29, driver_seen=2**32)  # noqa: E731
    monkeypatch.setattr(max_batch, "attempt", fits)
    assert main(["max-batch", "transit-cnn", "--most", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().err == (
        "device: cpu\n"
        "batch 1: fits, peak 512 MB resident, 4,096 MB of the device's driver after a step\n"
    )


def test_quiet_prints_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["max-batch", "transit-cnn", "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["largest"] == 5


def test_a_search_that_stops_below_the_limit_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["max-batch", "transit-cnn", "--most", "4"]) == 0
    assert capsys.readouterr().out == "largest batch on cpu: 4 or more (--most stops there)\n"


def test_a_range_the_wrong_way_round_is_refused_with_one_that_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["max-batch", "transit-cnn", "--start", "9", "--most", "8"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: --start 9 is above --most 8",
        "  next: metalassay max-batch transit-cnn --most 9",
    ]
