"""Read dialogues from a JSON-lines file of any size, line by line.

A line is ``{"text": "<|im_start|>question<|im_end|> <|im_start|>answer<|im_end|>"}``, as in guide 004.
Other lines, and those without a complete message between the two markers, are malformed: they are
skipped, counted and reported by number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import UserError

START, END = "<|im_start|>", "<|im_end|>"
LONGEST_LINE = 16 * 2**20  # bytes; a longer line is malformed, so that memory is bounded
TOO_LONG, HALF_A_PAIR = "longer than 16 MB", "half a surrogate pair in its text"
REPORTED = 5  # malformed lines reported one by one; later ones are only counted
DATA = Path(__file__).parent / "data"
TRAINING, TEST = DATA / "dialogues_train.jsonl", DATA / "dialogues_test.jsonl"


@dataclass(frozen=True)
class Line:
    """A line: its number from 1, the byte offset of the next one, and the text or the fault.

    ``file`` is the index of its file in a folder, and ``path`` that file.
    """

    number: int
    next_offset: int
    text: str | None
    fault: str | None
    file: int = 0
    path: Path | None = None


@dataclass(frozen=True)
class RawLine:
    """A line as bytes, between the byte offsets ``offset`` and ``next_offset``; None if it is too long."""

    number: int
    offset: int
    next_offset: int
    raw: bytes | None


def raw_lines(
    path: Path, offset: int = 0, number: int = 0, option: str = "--data"
) -> Iterator[RawLine]:
    """Yield the lines of ``path`` that are not blank, from byte ``offset``, before which are ``number``.

    Raises ``UserError`` for a file that cannot be read; it names ``option``, which set the path.
    """
    try:
        with files.open_regular(path) as stream:
            stream.seek(offset)
            begin = offset
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield RawLine(number, begin, stream.tell(), None)
                elif raw.strip():
                    yield RawLine(number, begin, stream.tell(), raw)
                begin = stream.tell()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", f"choose a JSON-lines file with {option} FILE"
        ) from error


def lines(path: Path, offset: int = 0, number: int = 0, option: str = "--data") -> Iterator[Line]:
    """Yield the dialogues of ``path`` as ``raw_lines`` yields its lines."""
    for line in raw_lines(path, offset, number, option):
        found = (None, TOO_LONG) if line.raw is None else parse(line.raw)
        yield Line(line.number, line.next_offset, *found)


def parse_object(raw: bytes) -> tuple[dict[str, Any], str | None]:
    """Return the object in a line of JSON, empty for any other value, or what is wrong with the line."""
    try:
        document = json.loads(raw)
    except UnicodeDecodeError:
        return {}, "not UTF-8"
    except (ValueError, RecursionError):
        return {}, "not JSON"
    return document if isinstance(document, dict) else {}, None


def parse(raw: bytes) -> tuple[str | None, str | None]:
    """Return the text of a dialogue in a line of JSON, or what is wrong with the line."""
    document, fault = parse_object(raw)
    if fault:
        return None, fault
    text = document.get("text")
    if not isinstance(text, str) or not text.strip():
        return None, 'no "text"'
    if not has_message(text):
        return None, f"no {START}...{END}"
    if not is_encodable(text):
        return None, HALF_A_PAIR
    return text, None


def is_encodable(text: str) -> bool:
    """Return whether ``text`` has UTF-8: JSON can encode half of a pair, which no tokenizer accepts."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_message(text: str) -> bool:
    """Return whether ``text`` has a complete message: words between a start and an end marker."""
    for piece in text.split(START)[1:]:
        message, mark, _ = piece.partition(END)
        if mark and message.strip():
            return True
    return False


class Faults:
    """Counts malformed lines and reports the first few; with ``strict``, any is an error."""

    def __init__(self, path: Path, strict: bool, notify: Callable[[str], None]) -> None:
        self.path, self.strict, self.notify = path, strict, notify
        self.count = 0

    def add(self, line: Line) -> None:
        """Count and report ``line``, which has a fault; raise ``UserError`` if ``strict``."""
        self.report(line.number, line.fault, line.path)

    def report(self, number: int, what: str | None, path: Path | None = None) -> None:
        """Count and report the fault ``what`` of a line; raise ``UserError`` if ``strict``."""
        fault = f"{path or self.path}, line {number}: {what}"
        if self.strict:
            raise UserError(fault, "fix the line, or leave out --strict to skip it")
        self.count += 1
        if self.count <= REPORTED:
            self.notify(f"skipped {fault}")
        elif self.count == REPORTED + 1:
            self.notify("skipping more malformed lines; they are counted")


def identity(path: Path) -> dict[str, Any]:
    """Return the size of a file and the hash of its first MB, which identify it without reading it all."""
    try:
        with files.open_regular(path) as stream:
            first = stream.read(2**20)
        return {
            "bytes": path.stat().st_size,
            "sha256_of_first_mb": hashlib.sha256(first).hexdigest(),
        }
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", "choose a JSON-lines file with --data FILE"
        ) from error
