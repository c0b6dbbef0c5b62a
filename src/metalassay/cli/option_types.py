"""Types of option values: each function reads the text, or raises an error that names what it accepts.

argparse names the function in its message where one fails with anything but ``ArgumentTypeError``.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

LARGEST = 2**63 - 1  # what torch and numpy hold in a whole number
SHOWN = 40  # characters of the user's text in an error
DEVICES = ("auto", "cpu", "mps", "cuda")


def whole(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""
    wanted = f"a whole number of at least {least}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:  # not a number, or one of more than 4,300 digits
            value = None
        if value is None or value < least:
            raise _refused(wanted, text)
        if value > most:
            raise _refused(f"a whole number of at most {most}", text)
        return value

    return read


def number(
    *, above: float | None = None, least: float | None = None, most: float | None = None
) -> Callable[[str], float]:
    """Return a reader of finite numbers within these bounds; ``above`` itself is outside."""
    bounds = (("above", above), ("of at least", least), ("at most", most))
    wanted = f"a number {' and '.join(f'{word} {it:g}' for word, it in bounds if it is not None)}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (
            math.isfinite(value)
            and (above is None or value > above)
            and (least is None or value >= least)
            and (most is None or value <= most)
        ):
            raise _refused(wanted, text)
        return value

    return read


def count_or_auto(text: str) -> int | str:
    """Read a whole number of at least 1, or "auto"."""
    return text if text == "auto" else count(text)


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def memory(text: str) -> int:
    """Read an amount of memory, in bytes, such as 12GB, 512M or 80% (of this machine's)."""
    match = re.fullmatch(r"(?i)\s*([0-9]*\.?[0-9]+)\s*(?:(%)|([kmgt]?)(?:i?b)?)\s*", text)
    value = 0.0
    if match:
        import psutil

        whole = psutil.virtual_memory().total / 100
        value = float(match[1]) * (whole if match[2] else _UNITS[match[3].lower()])
    if not 2**20 <= value <= LARGEST:
        raise _refused("an amount of memory such as 12GB, 512M or 80%", text)
    return int(value)


def words(text: str) -> str:
    """Read text; Python represents bytes that are not UTF-8 as surrogates, which text never has."""
    return _utf8("text in UTF-8", text)


def place(text: str) -> str:
    """Read what names a file, a folder or a program, as text: an unset variable leaves an empty name."""
    if not text.strip():  # as a Path it would be the current folder
        raise _refused("the name of a file or folder", text)
    if "\0" in text:
        raise _refused("a name without a null character", text)
    return text


def path(text: str) -> Path:
    """Read the name of a file or a folder."""
    return Path(place(text))


def label(text: str) -> str:
    """Read the name of a machine, which becomes a part of names of files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise _refused("a name of up to 64 letters, digits, dots, dashes and underscores", text)
    return text


def folder(text: str) -> Path:
    """Read the name of a folder; safetensors and tokenizers accept only UTF-8."""
    return Path(_utf8("a path in UTF-8", place(text)))


def _utf8(wanted: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refused(wanted, text) from error
    return text


def _refused(wanted: str, text: str) -> argparse.ArgumentTypeError:
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return argparse.ArgumentTypeError(f"must be {wanted}, not {short!r}")


count = whole(1)
count_or_none = whole(0)
# Every seed that torch and numpy accept; torch reads a negative one as 2**64 more.
seed = whole(-LARGEST - 1)
positive = number(above=0)
percent = number(above=0, most=100)
