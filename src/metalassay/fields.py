"""Checked access to a parsed JSON or TOML document, and text made fit for one printed line.

Result files come from other machines and other versions, and people edit them. So nothing is taken
on trust: not the type, not the range, not that text is printable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Control characters but tab and newline, lone surrogates (JSON can spell them, UTF-8 cannot), and
# the characters that reorder the text around them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_MOST_WHOLE = 2**63 - 1
_MOST_CHARACTERS = 20_000  # in a text: a table pads every cell of a column to the widest


def printable(text: str) -> str:
    """Return ``text`` without colour codes; what a page or terminal cannot show becomes U+FFFD."""
    plain = _ANSI.sub("", text.replace("\r\n", "\n"))
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", plain)


def one_line(value: object) -> str:
    """Return a value's text on one line, with single spaces between the words."""
    return " ".join(str(value).split())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; "" where it has none."""
    return str(error).partition("\n")[0]


class FieldError(ValueError):
    """A value that cannot be used; the message says where it is and what was expected."""

    def __init__(self, message: str) -> None:
        # The place may contain keys of the file, which are untrusted text too.
        super().__init__(printable(message[:1000]))


def parse_json(content: bytes | str) -> Any:
    """Return the value of a JSON text that somebody else wrote.

    Raises ``FieldError``, and nothing else, for what is not UTF-8 or not JSON, for numbers of more digits
    than Python reads, and for brackets nested too deeply.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FieldError(f"not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise FieldError("empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = ", where the file ends" if error.pos >= len(text.rstrip()) else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise FieldError(f"not JSON ({place}{cut}: {error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise FieldError(f"JSON that cannot be read ({error})") from None


@dataclass(frozen=True)
class Field:
    """A JSON value and its place in the file, as in ``bugs[2].tests[0].outcome``.

    The methods that read it raise ``FieldError`` for another type or a value out of range.
    """

    value: object
    place: str = ""

    def wrong(self, expected: str) -> FieldError:
        """Return the error for this value."""
        return FieldError(
            f"{self.place or 'top level'}: expected {expected}, found {_short(self.value)}"
        )

    def get(self, key: str) -> Field:
        """Return the member ``key`` of an object."""
        place = f"{self.place}.{key}" if self.place else key
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        if key not in self.value:
            raise FieldError(f"{place} is missing")
        return Field(self.value[key], place)

    def find(self, key: str) -> Field:
        """Return the member ``key`` of an object; null where it is missing."""
        if isinstance(self.value, dict) and key not in self.value:
            return Field(None, f"{self.place}.{key}" if self.place else key)
        return self.get(key)

    def each(self) -> Iterator[Field]:
        """Yield the elements of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        for index, value in enumerate(self.value):
            yield Field(value, f"{self.place}[{index}]")

    def text(self) -> str:
        """Return a string, made printable; it may be empty. A very long one is cut short, with a note."""
        if not isinstance(self.value, str):
            raise self.wrong("text")
        more = len(self.value) - _MOST_CHARACTERS
        if more > 0:
            return (
                f"{printable(self.value[:_MOST_CHARACTERS])}\N{HORIZONTAL ELLIPSIS} ({more:,} more)"
            )
        return printable(self.value)

    def name(self) -> str:
        """Return a string that is not blank, on one line."""
        text = one_line(self.text())
        if not text:
            raise self.wrong("text that is not empty")
        return text

    def one_of(self, words: Iterable[str]) -> str:
        """Return a string that is one of ``words``."""
        allowed = list(words)
        if not isinstance(self.value, str) or self.value not in allowed:
            raise self.wrong(f"one of {', '.join(map(repr, allowed))}")
        return self.value

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def whole(self) -> int:
        """Return a whole number of at least one; JSON's ``true`` is not a number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong("a whole number")
        if not 1 <= self.value <= _MOST_WHOLE:
            raise self.wrong("a whole number of at least 1")
        return self.value

    def number(self, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``, both finite and included."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            raise self.wrong("a number")
        # NaN fails every comparison; an integer too long for a float still compares.
        if not least <= self.value <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return float(self.value)

    def moment(self) -> datetime:
        """Return an ISO 8601 time, converted to UTC; one without an offset is taken as UTC."""
        text = self.text()
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.wrong("a time, as in 2026-11-21T13:00:00+00:00") from None

    def texts(self) -> dict[str, str]:
        """Return an object whose values are all names, as in ``{"torch": "2.13.0"}``."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return {printable(key): self.get(key).name() for key in self.value}

    def or_none(self, read: Callable[[Field], T]) -> T | None:
        """Return the value as ``read`` reads it, or None for null."""
        return None if self.value is None else read(self)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value[:40]) + ("…" if len(value) > 40 else "")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)[:40]
