"""The one line that an error becomes."""

from __future__ import annotations

import errno

from metalassay.errors import cannot_write, one_line, reason


def test_line_breaks_and_runs_of_spaces_become_one_space() -> None:
    assert one_line("a\n  b\tc ") == "a b c"


def test_the_reason_of_a_system_error_is_what_the_system_says() -> None:
    assert reason(OSError(errno.EACCES, "Permission denied", "x")) == "Permission denied"


def test_the_reason_of_another_error_names_its_class() -> None:
    assert reason(ValueError("two\nlines")) == "ValueError: two lines"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_system_error_without_a_reason_still_has_a_message() -> None:
    error = cannot_write("out.json", OSError("odd"), "name another file")
    assert error.message == "cannot write out.json: OSError: odd"
