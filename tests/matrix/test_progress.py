"""The lines that a running matrix prints."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from metalassay.matrix import progress
from metalassay.matrix.run_row import Outcome


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_running_done_and_left_with_the_time_that_the_rest_takes() -> None:
    shown = progress.Progress(
        ["a", "b", "c"], {"a": 100.0, "b": 100.0, "c": 100.0}, 2, io.StringIO()
    )
    assert shown.line() == "0 of 3 done, about 3 min left"
    shown.begins("a")
    shown.begins("b")
    assert shown.line().endswith("left; running: a, b")
    shown.ends(Outcome("a", "green", seconds=5.04))
    assert shown.line().startswith("1 of 3 done, about ")


def test_without_recorded_times_no_time_is_invented() -> None:
    shown = progress.Progress(["a"], {}, 1, io.StringIO())
    assert shown.line() == "0 of 1 done"


def test_outside_a_terminal_each_end_is_one_line_that_says_how_far_it_is() -> None:
    stream = io.StringIO()
    shown = progress.Progress(["a", "b"], {}, 1, stream)
    shown.begins("a")
    shown.ends(Outcome("a", "error", "could not resolve: refused", 1.0))
    assert stream.getvalue() == (
        "error           a (1.0 s): could not resolve: refused [1 of 2 done]\n"
    )


def test_on_a_terminal_one_line_is_rewritten_and_removed_at_the_end() -> None:
    stream = Terminal()
    shown = progress.Progress(["a"], {}, 1, stream)
    shown.begins("a")
    shown.tick()
    shown.say("a: building")
    shown.close()
    assert stream.getvalue().endswith("\r\x1b[K")
    assert "\r\x1b[Ka: building\n" in stream.getvalue()


def test_many_running_rows_are_counted_so_that_the_line_fits() -> None:
    names = [f"a-long-name-of-a-row-{number}" for number in range(6)]
    shown = progress.Progress(names, {}, 6, io.StringIO())
    for name in names:
        shown.begins(name)
    assert shown.line() == "0 of 6 done; running: 6 rows"


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome("x", "green", seconds=6.14), "green           x (6.1 s)"),
        (
            Outcome("x", "red", unchanged=datetime(2026, 11, 28, 9, 5, tzinfo=UTC)),
            "red             x (unchanged since 2026-11-28 09:05 UTC)",
        ),
    ],
)
def test_how_a_row_ended(outcome: Outcome, line: str) -> None:
    assert progress.as_line(outcome) == line


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_longer_than_the_width(width: int) -> None:
    name = "mps: transit-cnn training, batch 64"
    stream = io.StringIO()
    shown = progress.Progress([name, "b"], {name: 10.0, "b": 10.0}, 1, stream, width=width)
    shown.begins(name)
    assert len(shown.line()) < width
    shown.ends(Outcome(name, "failed", "a reason " * 20, 1.0))
    (line,) = stream.getvalue().splitlines()
    assert len(line) == width
    assert line.endswith("\N{HORIZONTAL ELLIPSIS} [1 of 2, 10 s left]")
