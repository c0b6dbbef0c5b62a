"""Errors that a user can act on: one line with what is wrong, where, and the next command."""


class UserError(Exception):
    """Bad input. The command line prints the message and exits with 2; there is no traceback.

    ``message`` says what is wrong and where; ``next_step`` is the command or the change that helps.
    """

    exit_code = 2

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(f"{message} ({next_step})")
        self.message = message
        self.next_step = next_step
