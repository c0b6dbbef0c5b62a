"""An error that the user can act on: the message, the next step and the exit code."""

from __future__ import annotations

from metalassay.errors import UserError


def test_an_error_has_its_message_and_the_next_step_on_one_line() -> None:
    error = UserError("x.toml is missing", "create it")
    assert str(error) == "x.toml is missing (create it)"
    assert (error.message, error.next_step, error.exit_code) == (
        "x.toml is missing",
        "create it",
        2,
    )
