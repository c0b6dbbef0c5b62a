"""Read a log of any length in little memory and keep the parts that may say what ended the program.

Kept are the beginning (where versions are printed), the end, and around every rank's last tracebacks
and error lines a window of text. A log up to ``WHOLE`` bytes is kept whole.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

WHOLE = 256 * 2**10
"""Bytes; a log up to this length is kept as it is."""

_BLOCK = 2**20
_HEAD = 16 * 2**10
_TAIL = 64 * 2**10
_BEFORE, _AFTER = 10 * 2**10, 6 * 2**10  # a window around a line: a traceback has a few kilobytes
_WINDOWS = 160 * 2**10  # of all windows together
_EACH = 3  # windows of one kind that are kept for a rank
_RANKS = 64
_WARNINGS = 40
_LONGEST_LINE = 4_000

_PREFIX = (
    rb"((?:(?:stderr|stdout): )?(?:\[[A-Za-z ]{0,10}\d{1,4}\]:|\[\d{1,4},\d{1,4}\]<std...>:"
    rb"|\([^()\n]{0,80}pid=\d{1,9}[^()\n]{0,40}\)))"
)
_RANK = re.compile(_PREFIX)
_RANK_OF_LINE = re.compile(rb"^" + _PREFIX, re.MULTILINE)
_DENSE = 3_000  # lines with one word in a block
_MOST_LINES = 400
_TRACEBACK = b"Traceback (most recent call last)"
# What a line contains that names an exception or says that the process was ended.
_ERRORS = (
    b"Error",
    b"Exception",
    b"Interrupt",
    b"failed assertion",
    b"illed",
    b"Abort",
    b"Fatal",
    b"libc++abi",
    b"egmentation fault",
    b"out of memory",
    b"not implemented for",
    b"not supported",
)
_NOTES = (b"Warning", b"warn", b"leaked", b"MPS")
_DIGITS = re.compile(rb"\d+")


@dataclass(frozen=True)
class Excerpt:
    """The kept text of a log, and how many bytes were read and how many of them are left out."""

    text: str
    read: int
    left_out: int


@dataclass
class _Line:
    """A line worth keeping, by its offset in the stream; its window is cut out of the buffer."""

    start: int
    window: bytes


def read(stream: BinaryIO) -> Excerpt:
    """Read a stream to its end and return an excerpt of at most about ``WHOLE`` bytes.

    Bytes that are not UTF-8 become replacement characters. UTF-16 (PowerShell's logs) is read with
    and without its mark.
    """
    blocks = _utf8(stream)
    head = bytearray()
    for block in blocks:
        head += block
        if len(head) > WHOLE:
            break
    else:
        return Excerpt(bytes(head).decode("utf-8", "replace"), len(head), 0)
    scan = _Scan()
    scan.feed(bytes(head))
    first = bytes(head[:_HEAD])
    del head
    for block in blocks:
        scan.feed(block)
    scan.close()
    text, kept = scan.assemble(first)
    return Excerpt(text, scan.read, scan.read - kept)


class _Scan:
    """Looks through a stream block by block; what is held does not grow with the stream's length."""

    def __init__(self) -> None:
        self.read = 0
        self._buffer = b""
        self._start = 0  # offset of the buffer in the stream
        self._done = 0  # offset up to which lines were looked at
        self._kept: dict[str, OrderedDict[bytes, deque[_Line]]] = {
            "traceback": OrderedDict(),
            "error": OrderedDict(),
        }
        self._notes: OrderedDict[bytes, _Line] = OrderedDict()

    def feed(self, block: bytes) -> None:
        for at in range(0, len(block), _BLOCK):
            piece = block[at : at + _BLOCK]
            self._buffer += piece
            self.read += len(piece)
            self._look(self.read - _AFTER)

    def close(self) -> None:
        self._look(self.read)

    def _look(self, until: int) -> None:
        """Look at the lines that begin before ``until``; text after them is needed for windows."""
        begin, end = self._done - self._start, until - self._start
        if end <= begin:
            return
        for kind, words in (("traceback", (_TRACEBACK,)), ("error", _ERRORS)):
            for rank, starts in _last_lines(self._buffer, words, begin, end).items():
                kept = self._kept[kind].setdefault(rank, deque(maxlen=_EACH))
                self._kept[kind].move_to_end(rank)
                for start in starts:
                    kept.append(self._line(start, _BEFORE if kind == "error" else 500))
            while len(self._kept[kind]) > _RANKS:
                self._kept[kind].popitem(last=False)
        for word in _NOTES:
            for start in _first_lines(self._buffer, word, begin, end):
                shape = _DIGITS.sub(b"", self._buffer[start : start + 200].partition(b"\n")[0])
                if shape not in self._notes and len(self._notes) < _WARNINGS:
                    self._notes[shape] = self._line(start, 300, 600)
        self._done = until
        drop = max(0, self._done - _BEFORE - self._start)
        if self.read - self._start > _TAIL:
            drop = min(drop, self.read - _TAIL - self._start)
            self._buffer = self._buffer[drop:]
            self._start += drop

    def _line(self, start: int, before: int, after: int = _AFTER) -> _Line:
        first = max(0, start - before)
        return _Line(self._start + first, self._buffer[first : start + after])

    def assemble(self, head: bytes) -> tuple[str, int]:
        """Return the excerpt's text and its length in bytes."""
        tail = max(len(head), self.read - _TAIL)
        windows = [_Line(0, head), _Line(tail, self._buffer[tail - self._start :])]
        windows += self._notes.values()
        room = _WINDOWS
        for each in self._by_urgency():
            room -= len(each.window)
            if room < 0:
                break
            windows.append(each)
        parts: list[bytes] = []
        reached = kept = 0
        for each in sorted(windows, key=lambda each: each.start):
            missing, window = each.start - reached, each.window
            if missing > 0:
                parts.append(b"\n[... %d bytes left out ...]\n" % missing)
            else:
                window = window[-missing:]
            parts.append(window)
            kept += len(window)
            reached = max(reached, each.start + len(each.window))
        return b"".join(parts).decode("utf-8", "replace"), kept

    def _by_urgency(self) -> Iterator[_Line]:
        """Yield every rank's last traceback and last error, then the ones before them."""
        ranks = max(map(len, self._kept.values()))
        most = max(2_000, _WINDOWS // (2 * max(ranks, 1)))
        for back in range(1, _EACH + 1):
            for kind, by_rank in self._kept.items():
                for lines in by_rank.values():
                    if len(lines) >= back:
                        yield _shortened(lines[-back], most, from_end=kind == "error")


def _shortened(line: _Line, most: int, from_end: bool) -> _Line:
    if len(line.window) <= most:
        return line
    if not from_end:
        return _Line(line.start, line.window[:most])
    cut = len(line.window) - most
    return _Line(line.start + cut, line.window[cut:])


def _last_lines(
    buffer: bytes, words: tuple[bytes, ...], begin: int, end: int
) -> dict[bytes, list[int]]:
    """Return the starts of every rank's last lines that contain one of the words.

    Of a very long line the part around the word counts.
    """
    last: dict[bytes, set[int]] = {}
    for word in words:
        count = buffer.count(word, begin, end)
        if not count:
            continue
        of_word: dict[bytes, set[int]] = {}
        if dense := count > _DENSE:
            for rank in set(_RANK_OF_LINE.findall(buffer, begin, end)):
                # Most lines of such a log contain the word, so few need to be looked at.
                places = _backwards(buffer, b"\n" + rank, begin, end)
                lines = (at + 1 for at in places if word in buffer[at : buffer.find(b"\n", at + 1)])
                of_word[rank] = set(itertools.islice(lines, _EACH))
        for at in _backwards(buffer, word, begin, end, _MOST_LINES if dense else _DENSE):
            low = max(0, at - _LONGEST_LINE)
            start = buffer.rfind(b"\n", low, at) + 1 or low
            starts = of_word.setdefault(_rank(buffer, start), set())
            if len(starts) < _EACH:
                starts.add(start)
        for rank, starts in of_word.items():
            last.setdefault(rank, set()).update(starts)
    return {rank: sorted(starts)[-_EACH:] for rank, starts in last.items() if starts}


def _backwards(
    buffer: bytes, word: bytes, begin: int, end: int, most: int = _MOST_LINES
) -> Iterator[int]:
    """Yield where a word is, at most once in a line, from the end to the beginning."""
    for _ in range(most):
        end = buffer.rfind(word, begin, end)
        if end < 0:
            return
        yield end
        low = max(begin, end - _LONGEST_LINE)
        end = max(low, buffer.rfind(b"\n", low, end) + 1)


def _first_lines(buffer: bytes, word: bytes, begin: int, end: int) -> Iterator[int]:
    """Yield the starts of the first lines that contain a word."""
    for _ in range(_WARNINGS):
        begin = buffer.find(word, begin, end)
        if begin < 0:
            return
        low = max(0, begin - _LONGEST_LINE)
        yield buffer.rfind(b"\n", low, begin) + 1 or low
        following = buffer.find(b"\n", begin, begin + _LONGEST_LINE)
        begin = following if following >= 0 else begin + _LONGEST_LINE


def _rank(buffer: bytes, start: int) -> bytes:
    match = _RANK.match(buffer, start, start + 160)
    return match[1] if match else b""


def _utf8(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the blocks of a stream as UTF-8 with plain line ends, without NUL."""
    first = stream.read(_BLOCK)
    encoding = _utf16(first)
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
    block = first
    while block:
        if decoder:
            block = decoder.decode(block).encode("utf-8", "replace")
        elif b"\0" in block:
            block = block.replace(b"\0", b"")
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if block:
            yield block
        block = stream.read(_BLOCK)


def _utf16(first: bytes) -> str | None:
    """Return the encoding if a stream that begins so is UTF-16: by its mark, or by where NULs are."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = first[:2_000]
    if len(sample) > 3 and sample[1::2].count(0) > len(sample) // 3 > 4 * sample[::2].count(0):
        return "utf-16-le"
    if len(sample) > 3 and sample[::2].count(0) > len(sample) // 3 > 4 * sample[1::2].count(0):
        return "utf-16-be"
    return None
