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


def reason(error: BaseException) -> str:
    """Return why something failed, in one line: the system's reason, or the class and its message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text, name = " ".join(str(error).split()), type(error).__name__
    return f"{name}: {text}" if text else name


def cannot_write(target: object, error: OSError, next_step: str) -> UserError:
    """Return the error for a file or folder that could not be written."""
    return UserError(f"cannot write {target}: {reason(error)}", next_step)
