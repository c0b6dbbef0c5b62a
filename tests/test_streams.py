"""What is printed has no control characters, and what could not be printed is said."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from metalassay import streams
from metalassay.errors import UserError
from metalassay.streams import OutputError, Printed, UnreadError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream that fails as the system does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "as the system says")

    def flush(self) -> None:
        raise OSError(self.number, "as the system says")


def test_control_characters_are_replaced_and_the_end_of_a_csv_row_is_kept() -> None:
    stream = io.StringIO()
    Printed(stream, must_be_written=True).writelines(["a\x1b[31m\x00\tb\r\n", "c\rd\x85e\n"])
    assert stream.getvalue() == "a\ufffd[31m\ufffd\tb\r\nc\ufffdd\ufffde\n"


def test_only_messages_on_a_terminal_may_draw_a_line_again() -> None:
    text = "\r\x1b[Kprogress \x1b[2J\x1b]0;title\x07\x1b[K\r"
    drawn, plain, output = Terminal(), io.StringIO(), Terminal()
    Printed(drawn, must_be_written=False).write(text)
    assert drawn.getvalue() == "\r\x1b[Kprogress \ufffd[2J\ufffd]0;title\ufffd\x1b[K\r"
    Printed(plain, must_be_written=False).write(text)
    Printed(output, must_be_written=True).write(text)
    assert "\x1b" not in plain.getvalue() + output.getvalue()


@pytest.mark.parametrize("stream", [Broken(errno.ENOSPC), Broken(errno.EIO), None])
def test_an_output_that_cannot_be_written_is_an_error_of_the_user(
    stream: Broken | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        Printed(stream, must_be_written=True).write("text")
    if stream is None:
        return  # sys.stdout without a descriptor would take that of this test's run
    monkeypatch.setattr(sys, "stdout", stream)

    def command() -> int:
        sys.stdout.write("text")
        raise AssertionError("it was written")

    assert streams.run(command) == 2
    assert capsys.readouterr().err.count("metalassay:") == 1


def test_messages_that_cannot_be_written_end_nothing() -> None:
    printed = Printed(Broken(errno.ENOSPC), must_be_written=False)
    assert printed.write("text") == 4
    printed.flush()


def test_only_the_readers_end_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Broken(errno.EPIPE)
    with pytest.raises(UnreadError):
        Printed(stream, must_be_written=True).write("text")
    monkeypatch.setattr(sys, "stdout", stream)

    def command() -> int:
        sys.stdout.write("text")
        return 1

    assert streams.run(command) == 0
    assert streams.run(command, lambda: 7) == 7

    def breaks_its_own_pipe() -> int:
        raise BrokenPipeError(errno.EPIPE, "of a child")

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(BrokenPipeError):
        streams.run(breaks_its_own_pipe)


def test_the_streams_are_those_from_before_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr

    def command() -> int:
        assert isinstance(sys.stdout, Printed)
        raise UserError("bad\x1b[31m\nname", "do\tthat")

    assert streams.run(command) == 2
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().err == "metalassay: bad name\n  next: do that\n"
