"""Many rows at a time on this machine; the rows themselves are invented."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.matrix import ahead, environments, run_row, run_rows
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.run_row import Options, Outcome

ROWS = [Row(name, (), "r", ("full",)) for name in "abcd"]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setattr(ahead, "of_row", lambda row, *_: row.requires)
    return Options(tmp_path, tmp_path / "out", tmp_path / ".nox")


def test_outcomes_come_in_the_order_of_the_rows_and_the_longest_begins_first(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    both = threading.Barrier(2, timeout=10)

    def run(row: Row, _: Options) -> Outcome:
        began.append(row.id)
        both.wait()  # two rows run at the same time, or this fails
        return Outcome(row.id, run_row.GREEN)

    monkeypatch.setattr(run_row, "run", run)
    outcomes = run_rows.run(ROWS, options, 2, {"d": 100.0, "c": 50.0})
    assert [outcome.row for outcome in outcomes] == ["a", "b", "c", "d"]
    assert set(began[:2]) == {"c", "d"}


def test_one_row_at_a_time_keeps_the_order(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []

    def run(row: Row, _: Options) -> Outcome:
        began.append(row.id)
        return Outcome(row.id, run_row.GREEN)

    monkeypatch.setattr(run_row, "run", run)
    run_rows.run(ROWS, options, 1, {"d": 100.0})
    assert began == ["a", "b", "c", "d"]


def test_an_error_of_one_row_leaves_the_others(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"a": run_row.ERROR, "b": run_row.RED}
    monkeypatch.setattr(
        run_row, "run", lambda row, _: Outcome(row.id, states.get(row.id, run_row.GREEN))
    )
    assert [outcome.bad for outcome in run_rows.run(ROWS, options, 2, {})] == [
        True,
        True,
        False,
        False,
    ]


def test_a_missing_interpreter_is_told_before_any_row_begins(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interpreter(row: Row, _: object) -> None:
        if row.id == "d":
            raise UserError("there is no Python 3.99", "uv python install 3.99")

    monkeypatch.setattr(environments, "interpreter", interpreter)
    monkeypatch.setattr(run_row, "run", lambda *_: pytest.fail("a row began"))
    with pytest.raises(UserError, match=r"no Python 3\.99"):
        run_rows.run(ROWS, options, 1, {})


def test_sigterm_stops_the_rows_that_run_and_begins_no_other(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    stopped: list[str] = []

    def run(row: Row, given: Options) -> Outcome:
        began.append(row.id)
        if len(began) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        if not given.stop.wait(20):
            raise AssertionError("it was not told to stop")
        stopped.append(row.id)
        raise run_row.StoppedError

    monkeypatch.setattr(run_row, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run_rows.run(ROWS, options, 2, {})
    assert sorted(began) == sorted(stopped) == ["a", "b"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_while_rows_are_handed_out_leaves_none_running(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``submit`` forgets the thread that it is starting when an interrupt comes; the row would run on."""
    began: list[str] = []
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == 2:
            time.sleep(0.2)  # the time in which the lost thread would begin its row
            raise KeyboardInterrupt

    def run(row: Row, given: Options) -> Outcome:
        began.append(row.id)
        given.stop.wait(20)
        raise run_row.StoppedError

    monkeypatch.setattr(run_row, "run", run)
    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    with pytest.raises(KeyboardInterrupt):
        run_rows.run(ROWS, options, 2, {})
    for thread in started:
        thread.join(10)
    assert began == []
