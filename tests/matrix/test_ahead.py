"""Rows resolved ahead of their turn; the resolver is invented."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.matrix import ahead, environments
from metalassay.matrix.ahead import Ahead
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.resolver import Failure

ROWS = [Row(name, (f"lib=={name}",), "r", ("full",)) for name in "1234567"]
PYTHON = environments.Interpreter(Path("python"), "CPython 3.11")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the rows that were resolved, as they are."""
    rows: list[str] = []

    def of_row(row: Row, *_: object) -> ahead.Lock:
        rows.append(row.id)
        return row.requires if row.id != "2" else Failure("no network")

    monkeypatch.setattr(environments, "interpreter", lambda row: PYTHON)
    monkeypatch.setattr(ahead, "of_row", of_row)
    return rows


def test_rows_come_in_their_turn_and_each_is_resolved_once(asked: list[str]) -> None:
    locks = Ahead(ROWS, Path())
    assert locks.lock(ROWS[0], PYTHON) == ("lib==1",)
    assert locks.lock(ROWS[4], PYTHON) == ("lib==5",)
    locks.close()
    assert asked.count("1") == asked.count("5") == 1


def test_a_row_far_ahead_is_not_resolved_yet(asked: list[str]) -> None:
    locks = Ahead(ROWS, Path())
    locks.lock(ROWS[0], PYTHON)  # makes room for the sixth
    locks.close()
    assert "7" not in asked


def test_a_failure_is_given_out_once_and_then_resolved_again(asked: list[str]) -> None:
    locks = Ahead(ROWS[:2], Path())
    assert locks.lock(ROWS[1], PYTHON) == Failure("no network")
    assert locks.lock(ROWS[1], PYTHON) == Failure("no network")
    locks.close()
    assert asked.count("2") == 2


def test_a_row_that_nobody_named_before_is_resolved_now(asked: list[str]) -> None:
    locks = Ahead((), Path())
    assert locks.lock(ROWS[2], PYTHON) == ("lib==3",)
    locks.close()


def test_a_missing_interpreter_is_no_error_of_another_row(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interpreter(row: Row) -> environments.Interpreter:
        if row.id == "1":
            raise UserError("there is no Python 3.99", "uv python install 3.99")
        return PYTHON

    monkeypatch.setattr(environments, "interpreter", interpreter)
    locks = Ahead(ROWS[:3], Path())
    assert locks.lock(ROWS[2], PYTHON) == ("lib==3",)
    # Whoever runs the row has its interpreter by now: uv may have downloaded it.
    assert locks.lock(ROWS[0], PYTHON) == ("lib==1",)
    locks.close()


def test_resolving_runs_beside_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    second = threading.Event()

    def of_row(row: Row, *_: object) -> ahead.Lock:
        if row.id == "2":
            second.set()
        return row.requires

    monkeypatch.setattr(environments, "interpreter", lambda row: PYTHON)
    monkeypatch.setattr(ahead, "of_row", of_row)
    locks = Ahead(ROWS[:2], Path())
    locks.lock(ROWS[0], PYTHON)
    assert second.wait(10)  # while the first row would run
    locks.close()
