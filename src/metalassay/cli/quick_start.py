"""Three questions on a terminal, and the training command that the answers make."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from metalassay.errors import UserError

WHAT = (
    ("gpt", "a small language model, on dialogues"),
    ("transit", "a classifier of light curves: planet or not"),
)
# What each size is, and the options for it; times are not told: they depend on the machine.
HOW_LARGE = {
    "gpt": (
        ("13,568 parameters", ["--size", "tiny"]),
        ("65,568 parameters, memorises the dialogues", ["--size", "small"]),
        ("2,526,240 parameters, takes longest", ["--size", "original"]),
    ),
    "transit": (
        ("42,113 parameters, one pass over the curves", ["--epochs", "1"]),
        ("42,113 parameters, four passes", ["--epochs", "4"]),
        ("9,940,193 parameters, four passes", ["--size", "astronet"]),
    ),
}


def possible() -> bool:
    """Return whether somebody can read the questions and answer them."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(read: Callable[[], str]) -> list[str]:
    """Ask the three questions and return the words of the command after ``metalassay``.

    An empty answer is the first choice. Raises ``UserError`` where the answers end early.
    """
    program = WHAT[_choice("What shall be trained?", [f"{a}: {b}" for a, b in WHAT], read)][0]
    sizes = HOW_LARGE[program]
    size = sizes[_choice("How large?", [text for text, _ in sizes], read)][1]
    folder = _free(Path("runs") / program)
    _tell(f"In which folder? [{folder}] ", end="")
    return ["train", program, *size, "--output", _answer(read) or str(folder)]


def command_line(words: Sequence[str]) -> str:
    """Return the command as one would type it."""
    return shlex.join(["metalassay", *words])


def _choice(question: str, choices: Sequence[str], read: Callable[[], str]) -> int:
    _tell(question)
    for number, text in enumerate(choices, 1):
        _tell(f"  {number}  {text}")
    while True:
        _tell(f"1 to {len(choices)} [1]: ", end="")
        answer = _answer(read) or "1"
        if answer in [str(number) for number in range(1, len(choices) + 1)]:
            return int(answer) - 1


def _free(folder: Path) -> Path:
    """Return ``folder``, or the first of it with a number that is not there yet."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _answer(read: Callable[[], str]) -> str:
    line = read()
    if not line:
        raise UserError("the questions were not answered", "metalassay train --help")
    return line.strip()


def _tell(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)
