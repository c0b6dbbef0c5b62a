"""Errors that the user can act on, and the one line that an error becomes."""

from __future__ import annotations

import errno

from metalassay.errors import UserError, cannot_write, reason


def test_an_error_has_its_message_and_the_next_step_on_one_line() -> None:
    error = UserError("x.toml is missing", "create it")
    assert str(error) == "x.toml is missing (create it)"
    assert (error.message, error.next_step, error.exit_code) == (
        "x.toml is missing",
        "create it",
        2,
    )


def test_the_reason_of_a_system_error_is_what_the_system_says() -> None:
    assert reason(OSError(errno.EACCES, "Permission denied", "x")) == "Permission denied"


def test_the_reason_of_another_error_names_its_class() -> None:
    assert reason(ValueError("two\nlines")) == "ValueError: two lines"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_system_error_without_a_reason_still_has_a_message() -> None:
    error = cannot_write("out.json", OSError("odd"), "name another file")
    assert error.message == "cannot write out.json: OSError: odd"
