"""Say what is known about an error that no row explains: what it names, what is similar, where to ask."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from metalassay.diagnosis import known_packages
from metalassay.diagnosis.program_end import Event, Log
from metalassay.diagnosis.text_facts import Facts
from metalassay.diagnosis.traceback_frames import Frame

_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]{2,}")
_CALLED = re.compile(r"\b([A-Za-z_][\w.]{0,80})\(\)")
_ALIKE = 0.45  # the share of a message's words, weighted by how rare they are, that must occur
# The library itself says that it is wrong.
_INTERNAL = re.compile(
    r"INTERNAL ASSERT|please report (?:a|this) (?:bug|issue)|should not happen", re.I
)
# Types that Python raises where something is used wrongly, whoever's code that is.
_LANGUAGE = frozenset(
    {
        "AttributeError",
        "FileNotFoundError",
        "ImportError",
        "IndexError",
        "KeyError",
        "ModuleNotFoundError",
        "NotImplementedError",
        "PermissionError",
        "SyntaxError",
        "TypeError",
        "ValueError",
    }
)


# The message of these names the file, key, package or value; types and shapes are not the matter.
_NAMES = frozenset(
    {
        "FileNotFoundError",
        "ImportError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "PermissionError",
        "SyntaxError",
        "SystemExit",
        "UnboundLocalError",
        "ZeroDivisionError",
    }
)


@dataclass(frozen=True)
class Row:
    """A message that is known: the id and title of its row, and the message's words."""

    id: str
    title: str
    says: str


@dataclass(frozen=True)
class Similar:
    """A row whose message has much in common with the text, and the words of it that are missing."""

    id: str
    title: str
    says: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Recognised:
    """What is known about an error that is not explained.

    ``place`` is the last line of a traceback: "your own file" or a package's, with its version.
    ``next`` says where a question about it belongs.
    """

    exception: str | None
    place: str | None
    own_file: bool | None
    package: str | None
    version: str | None
    function: str | None
    device: str | None
    dtype: str | None
    similar: tuple[Similar, ...]
    next: str


def describe(
    log: Log, facts: Facts, installed: Mapping[str, str], rows: Iterable[Row]
) -> Recognised:
    """Return what the text names, the two most similar rows, and where the question belongs."""
    event = log.ended
    frame = event.frames[-1] if event and event.frames else None
    message = log.text[event.position : event.end][:2_000] if event else log.text[-4_000:]
    package = _package(event, message)
    called = _CALLED.search(message)
    return Recognised(
        exception=event.line if event else None,
        place=_place(frame) if frame else None,
        own_file=not frame.library if frame else None,
        package=package,
        version=installed.get(canonicalize_name(package)) if package else None,
        function=called[1] if called else frame.function if frame else None,
        device=facts.device,
        dtype=facts.dtype,
        similar=most_similar(message, rows),
        next=_next(event, frame, package, message),
    )


def most_similar(message: str, rows: Iterable[Row], most: int = 2) -> tuple[Similar, ...]:
    """Return the rows whose message shares most of its words with a text, rare words counting more."""
    candidates = [(row, _words(row.says)) for row in rows]
    frequency = Counter(word for _, words in candidates for word in words)
    weight = {word: math.log(1 + len(candidates) / count) for word, count in frequency.items()}
    here = _words(message)
    scores: dict[str, tuple[float, Row, set[str]]] = {}
    for row, words in candidates:
        shared = words & here
        if len(shared) < 2:
            continue
        score = sum(weight[word] for word in shared) / sum(weight[word] for word in words)
        if score >= _ALIKE and score > scores.get(row.id, (0.0,))[0]:
            scores[row.id] = (score, row, words - here)
    best = sorted(scores.values(), key=lambda each: -each[0])[:most]
    return tuple(Similar(row.id, row.title, row.says, tuple(sorted(gone))) for _, row, gone in best)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _place(frame: Frame) -> str:
    line = f", line {frame.number}" if frame.number else ""
    inside = re.split(r"/(?:site|dist)-packages/", frame.path)[-1]
    return f"{inside if frame.library else frame.path.rpartition('/')[2]}{line}"


def _package(event: Event | None, message: str) -> str | None:
    """Return the package of the last frame, or one that the message itself names with a module."""
    for frame in reversed(event.frames if event else ()):
        if frame.library not in ("", "python"):
            return frame.library
    for name in re.findall(r"\b([a-z][a-z_0-9]{2,40})[.:]", message):
        if known_packages.named(name):
            return str(name)
    return None


def _next(event: Event | None, frame: Frame | None, package: str | None, message: str) -> str:
    asked = "with the whole traceback, the versions and the smallest program that shows it"
    known = known_packages.named(package) if package else None
    if event is not None and event.type == "KeyboardInterrupt":
        return "Ctrl+C, or a signal that Python takes for it, ended the program; nothing failed at that line"
    if frame is not None and not frame.library and event is not None and event.type in _NAMES:
        return (
            "the last line of the traceback is in your own file, and the message names what is missing or "
            f"wrong there; to ask others: https://stackoverflow.com, {asked}"
        )
    if frame is not None and not frame.library:
        forum = known.forum if known and known.forum else "https://stackoverflow.com"
        return (
            "the last line of the traceback is in your own file, so look there first: print the types "
            f"and shapes on that line; to ask others: {forum}, {asked}"
        )
    if known is None:
        where = (
            f"the documentation and the forum of {package}" if package else "a forum of the library"
        )
        return (
            f"paste the whole traceback here, not only its last line; else ask on {where}, {asked}"
        )
    usage = event is not None and event.type in _LANGUAGE and not _INTERNAL.search(message)
    forum = known.forum or f"{known.tracker} (it has no forum)"
    if usage or frame is None:
        return (
            f"such a message is mostly about how {known.name} is called: compare the call with its "
            f"documentation for your version; ask on {forum}, {asked}"
        )
    return (
        f"try the newest {known.name}; if it fails there too and no line of yours is at fault, search "
        f"{known.tracker} for the message and report it {asked}; until then ask on {forum}"
    )
