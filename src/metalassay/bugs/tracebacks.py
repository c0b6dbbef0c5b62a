"""Read tracebacks and logs: remove what terminals and loggers add, and find the exceptions.

Knows the ways in which Python prints an exception, and no bug.
"""

from __future__ import annotations

import builtins
import html
import re
import textwrap
from collections import deque
from collections.abc import Iterator

from metalassay.fields import printable

_LONGEST_LINE = 4_000  # a longer one is split, so that no pattern scans megabytes
_LINK = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")  # terminal links, which rich writes
_BOX_BEFORE = re.compile(r"^[ \t]*[│┃╭╰╮╯┏┗]++[─━]*+", re.MULTILINE)
_BOX_AFTER = re.compile(r"(?<![ \t│┃╭╰╮╯┓┛])[ \t│┃╭╰╮╯┓┛]++$", re.MULTILINE)
_SPACES = re.compile(r"[ \t]{61,}")  # a run that patterns would scan again and again
_QUOTED = re.compile(r"^(?:> ?)+", re.MULTILINE)  # as mail and Markdown quote
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|nbsp);")
_TAG = re.compile(r"</?(?:br|code|div|p|pre|span)(?: [^<>\n]{0,200})?/?>")
# A traceback on one line, as an unquoted argument of a command or some web forms make of it.
_FLAT = re.compile(r"Traceback \(most recent call last\):[ \t]+File \"[^\n]*")
_QUOTES = str.maketrans("‘’“”", "''\"\"")  # noqa: RUF001  (what web pages make of quotes)
_ERROR = r"[A-Za-z_][\w.]{0,99}?(?:Error|Exception|Warning|Interrupt|Iteration|Exit|Failure)"
# Anywhere in a line: a rank, a time stamp, a logger or the bars of an exception group may precede it.
_TYPE = re.compile(rf"(?<![\w.])({_ERROR})(?::[ \t]+|\((?=[\"']))")
# The beginning of a string in a source line of a traceback, which is not a message that was raised.
_SOURCE = re.compile(
    r"(?:[\s❱│>-]*\d+|\s{2,})?[\s❱│]*(?:raise\s+[\w.]+\(|(?<=\s))[bfru]{0,2}[\"'][^\"']*$"
)
_ELLIPSIS = re.compile(r"(?:…|\.\.\.)[ \t\"')]*$")


def clean(text: str) -> str:
    """Remove what terminals, web pages, mail and loggers add, and split very long lines.

    That is colours, boxes, carriage returns, typographic quotes, HTML's entities and tags, the marks
    of a quotation, and the middle of long runs of spaces.
    """
    text = _LINK.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if _ENTITY.search(text):
        text = html.unescape(_TAG.sub("", text))
    text = printable(text).replace("\xa0", " ").translate(_QUOTES)
    if "Traceback (most recent call last):\\n" in text:  # a log of JSON objects
        text = text.replace("\\n", "\n").replace('\\"', '"')
    if text.startswith(">") or "\n> " in text:
        text = _QUOTED.sub("", text)
    text = _FLAT.sub(_unfolded, _SPACES.sub(" " * 60, text))
    text = _BOX_AFTER.sub("", _BOX_BEFORE.sub("", text))
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    return re.sub(rf"[^\n]{{{_LONGEST_LINE}}}", r"\g<0>\n", text)


def _unfolded(flat: re.Match[str]) -> str:
    """Give every frame and every exception of a traceback on one line a line of its own again."""
    text = re.sub(r"[ \t]+(?=File \")", "\n  ", flat[0])
    text = re.sub(rf"[ \t]+(?={_ERROR}: )", "\n", text)
    chains = (
        "During handling of the above|The above exception was the|Traceback \\(most recent call"
    )
    return re.sub(rf"[ \t]+(?={chains})", "\n", text)


def exceptions(text: str, most: int = 20) -> tuple[str, ...]:
    """Return the last ``most`` exceptions in a text as ``Type: message``, the last one first."""
    lines = deque(
        (
            text[match.start() : _line_end(text, match.end())]
            for match in _TYPE.finditer(text)
            if not text.endswith("raise ", 0, match.start())
        ),
        maxlen=most,
    )
    return tuple(shorten(line) for line in reversed(lines))


def exception_before(text: str, position: int) -> str | None:
    """Return the last exception type on the line before ``position``, or None."""
    types = _TYPE.findall(_before(text, position))
    return types[-1].rpartition(".")[2] if types else None


def is_source(text: str, position: int) -> bool:
    """Return whether ``position`` is inside a string in a source line of a traceback."""
    return bool(_SOURCE.match(_before(text, position)))


def are_unrelated(one: str, other: str) -> bool:
    """Return whether two exceptions are built in and neither is a subclass of the other.

    A library's own type may wrap any other, so it is not counted as unrelated.
    """
    first, second = getattr(builtins, one, None), getattr(builtins, other, None)
    if not isinstance(first, type) or not isinstance(second, type):
        return False
    return not (issubclass(first, second) or issubclass(second, first))


def cut_lines(text: str, most: int = 20) -> Iterator[tuple[int, str]]:
    """Yield the offset and the text of lines that may be cut off.

    These are the last ``most`` lines that end in dots, without the dots, and the last line.
    """
    start, dotted = 0, deque[tuple[int, str]](maxlen=most)
    last = (0, "")
    for line in text.splitlines(keepends=True):
        bare = line.rstrip()
        if dots := _ELLIPSIS.search(bare):
            dotted.append((start, bare[: dots.start()]))
        elif bare:
            last = (start, bare)
        start += len(line)
    yield from reversed(dotted)
    yield last


def line_at(text: str, start: int, end: int) -> str:
    """Return the line or lines that contain ``start`` to ``end``."""
    return text[text.rfind("\n", 0, start) + 1 : _line_end(text, end)]


def shorten(line: str) -> str:
    """Return one line of at most 300 characters."""
    return textwrap.shorten(line, 300, placeholder=" …")


def _before(text: str, position: int) -> str:
    return text[max(text.rfind("\n", 0, position) + 1, position - 500) : position]


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
