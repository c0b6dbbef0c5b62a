"""The status line on real pseudo-terminals, whose output a small emulator renders."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metalassay.training import commands, status_line
from metalassay.training.loop import Progress
from metalassay.training.progress import Display

if os.name != "posix":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import fcntl
import pty
import termios

Screen = Callable[[], list[str]]


def rows(output: bytes, columns: int) -> list[str]:
    """Return the rows of a terminal with ``columns`` columns after ``output``."""
    screen, x, wrap = [[" "] * columns], 0, False
    for each in output.decode():
        if each == "\r":
            x, wrap = 0, False
        elif each == "\n":
            screen.append([" "] * columns)
            wrap = False
        else:
            if wrap:  # a terminal wraps when the next character comes
                screen.append([" "] * columns)
                x, wrap = 0, False
            screen[-1][x] = each
            x, wrap = min(x + 1, columns - 1), x + 1 == columns
    return ["".join(row).rstrip() for row in screen]


def set_width(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@contextlib.contextmanager
def terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """Make standard error a terminal; yield a function that returns its rows."""
    ours, theirs = pty.openpty()
    set_width(theirs, columns)
    output = b""

    def screen() -> list[str]:
        nonlocal output
        os.set_blocking(ours, False)
        with contextlib.suppress(BlockingIOError):
            while some := os.read(ours, 65536):
                output += some
        return rows(output, columns)

    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            yield screen
        finally:
            os.close(ours)


@pytest.mark.parametrize("columns", [25, 60, 80, 120])
def test_text_printed_during_and_after_a_run_has_lines_of_its_own(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(columns, monkeypatch) as screen:
        with Display("bar", 2000, "tokens") as display:
            display.write("begun")
            for step in (1000, 2000):
                display.show(Progress(step, 2000, 9.8765, 0.1, 1.0, 123456.0, {"loss": 1.5}))
                display.sample(step, "Why?", "So.")
                commands._warn("seen")  # which has no access to the display
        status_line.write("steps: 2000")
        found = screen()
    assert found[0] == "begun"
    assert found[1:4] == ["step 1000: loss 1.5", "step 1000: Why? -> So.", "metalassay: seen"]
    assert found[4:7] == ["step 2000: loss 1.5", "step 2000: Why? -> So.", "metalassay: seen"]
    assert "2000/2000" in found[7]
    assert found[8:] == ["steps: 2000", ""]
    assert len(found[7]) <= columns - 3  # room for "^C"


def test_a_shorter_line_erases_a_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80, monkeypatch) as screen, status_line.StatusLine() as line:
        line.draw(lambda width: "a long one")
        line.draw(lambda width: "short")
        assert screen() == ["short"]


def test_the_width_is_read_for_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    with terminal(80, monkeypatch) as screen, status_line.StatusLine() as line:
        for columns in (80, 40, 0):  # 0: a terminal that does not report its width
            set_width(sys.stderr.fileno(), columns)
            line.draw(lambda width: asked.append(width) or "")  # type: ignore[func-returns-value]
        assert screen() == [""]
    assert asked == [77, 37, 77]


def test_a_file_gets_one_line_per_state(capsys: pytest.CaptureFixture[str]) -> None:
    with status_line.StatusLine() as line:
        line.draw(lambda width: f"1 of {width}")
        line.write("between")
        line.draw(lambda width: f"2 of {width}")
    assert capsys.readouterr().err == "1 of None\nbetween\n2 of None\n"


@pytest.mark.slow
def test_ctrl_c_leaves_the_terminal_intact(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "train", "gpt", "--steps", "100000"]
    command += ["--device", "cpu", "-o", str(tmp_path)]
    ours, theirs = pty.openpty()
    set_width(theirs, 80)
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how Linux reports the end of a terminal
        while some := os.read(ours, 65536):
            if b"/100000" in some and b"/100000" not in output:
                child.send_signal(signal.SIGINT)
            output += some
    os.close(ours)
    assert child.wait() == 130
    found = rows(output, 80)
    last = next(number for number, row in enumerate(found) if row.startswith("metalassay: SIGINT"))
    assert "loss" in found[last - 1]
    assert len(found[last - 1]) <= 77
    assert all("SIGINT" not in row for row in found[:last])
