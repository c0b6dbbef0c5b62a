"""Requests are read once, and all ranks of a training stop in the same step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from metalassay.child import requests
from metalassay.child.requests import Requests, Stop
from metalassay.child.run import Run
from metalassay.supervise import protocol
from metalassay.supervise.protocol import Request


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, protocol.Config())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_request_is_returned_once(run: Run) -> None:
    asked = Requests(run)
    assert asked.new() is None
    protocol.write_request(run.folder, Request(1, "census"))
    assert asked.new() == Request(1, "census")
    assert asked.new() is None
    protocol.write_request(run.folder, Request(1, "census"))
    assert asked.new() is None, "the same number again"
    protocol.write_request(run.folder, Request(2, "census"))
    assert asked.new() == Request(2, "census")


def test_one_process_stops_at_once_and_looks_at_the_file_only_now_and_then(
    run: Run, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, stat = Stop(run), os.stat
    looks: list[Path] = []

    def counted(path: Path, **options: Any) -> os.stat_result:
        if path == run.folder / "request.json":
            looks.append(path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", counted)
    for step in range(100):
        clock[0] += 0.001
        assert stop.wanted(step) is None
    assert len(looks) == 1
    protocol.write_request(run.folder, Request(1, "stop", "memory"))
    clock[0] += 1
    assert stop.wanted(100) == "memory"


def test_another_request_is_no_reason_to_stop(run: Run, clock: list[float]) -> None:
    stop = Stop(run)
    protocol.write_request(run.folder, Request(1, "census", "no"))
    assert stop.wanted(1) is None


def test_a_request_that_was_replaced_is_kept_if_the_watch_thread_saw_it(run: Run) -> None:
    stop = Stop(run)
    stop.ask(Request(1, "stop", "memory"))
    protocol.write_request(run.folder, Request(2, "census"))
    assert stop.wanted(1) == "memory"


def test_a_request_that_is_older_than_the_first_step_stops_ranks_too(
    run: Run, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rank(monkeypatch, 0)
    stop = Stop(run)
    stop.ask(Request(1, "stop", "memory"))
    assert [stop.wanted(step) for step in (7, 8, 9)] == [None, None, "memory"]


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, ranks: int = 2) -> None:
    monkeypatch.setattr(requests, "rank_and_ranks", lambda: (rank, ranks))


@pytest.mark.parametrize("step_seconds", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_ranks_stop_in_the_same_step(
    run: Run,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    step_seconds: float,
    ahead: int,
) -> None:
    """The other rank is up to one step ahead of rank 0, or behind it."""
    stops = (Stop(run), Stop(run))
    stopped: dict[int, int] = {}

    def after(rank: int, step: int) -> None:
        as_rank(monkeypatch, rank)
        if rank not in stopped and step >= 0 and stops[rank].wanted(step):
            stopped[rank] = step

    for step in range(1, 1000):
        if step == 20:
            protocol.write_request(run.folder, Request(1, "stop", "memory"))
        clock[0] += step_seconds
        # Of two ranks in one step, the other comes first.
        after(1, step + ahead)
        after(0, step)
    assert stopped.keys() == {0, 1}
    assert stopped[0] == stopped[1]
    assert (stopped[0] - 20) * step_seconds < 2.0 + 3 * step_seconds


def test_two_trainings_of_a_run_decide_for_themselves(
    run: Run, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol.write_request(run.folder, Request(1, "stop", "memory"))
    as_rank(monkeypatch, 0)
    for port in ("29500", "29501"):
        monkeypatch.setenv("MASTER_PORT", port)
        assert Stop(run).wanted(int(port)) is None
    assert sorted(path.name for path in run.folder.glob("stop-*")) == [
        "stop-1-29500",
        "stop-1-29501",
    ]


def test_a_training_on_several_machines_goes_on_and_says_so(
    run: Run,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    as_rank(monkeypatch, 0, 4)
    protocol.write_request(run.folder, Request(1, "stop", "memory"))
    stop = Stop(run)
    for step in range(10):
        clock[0] += 10
        assert stop.wanted(step) is None
    assert capsys.readouterr().err == (
        "metalassay: the training has 4 processes on several machines; it cannot be stopped\n"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"number": 1}', '{"number": "x", "want": "stop"}'])
def test_a_malformed_request_stops_nothing(
    run: Run, clock: list[float], capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (run.folder / "request.json").write_text(content)
    assert Stop(run).wanted(1) is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_process_without_torch_distributed_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = {}
    monkeypatch.setattr("metalassay.child.requests.sys.modules", modules)
    assert requests.rank_and_ranks() == (0, 1)
