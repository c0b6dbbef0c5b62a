"""What ended the program that a log is from: its exceptions by rank, and which one decides.

A log is untangled first: what each rank wrote is put together, without the marks before its lines,
and the rank that failed first comes last. Then every exception in it has a role:

``ended``     it ended the program, or nothing says that anything did
``cause``     the exception that ended the program was raised from it
``context``   another exception was raised while this one was handled
``rank``      it ended another rank, later
``earlier``   it came before, so the program went on
``after``     it came after the end: a launcher's summary, or an error while Python shut down
``warning``   a warning
``line``      no exception: a line of the log
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from metalassay.bugs import tracebacks
from metalassay.diagnosis import traceback_frames
from metalassay.diagnosis.traceback_frames import Frame

ROLES = ("ended", "cause", "context", "rank", "earlier", "after", "warning", "line")

_LONGEST_MESSAGE = 6_000
_RANK = re.compile(
    r"\[[A-Za-z ]{0,10}(?P<a>\d{1,4})\]: ?|\[\d{1,4},(?P<b>\d{1,4})\]<std...>: ?"
    r"|\([^()\n]{0,80}pid=(?P<c>\d{1,9})[^()\n]{0,40}\) ?"
)
_STREAM = re.compile(r"(?:stderr|stdout): ")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_LAST_LINE = re.compile(r"(?P<type>[A-Za-z_][\w.]{0,120})(?=:(?:\s|$)|\s*$)")
_SUFFIX = r"(?:Error|Exception|Warning|Interrupt|Iteration|Exit|Failure|Failed|Timeout)"
_NAMED = re.compile(
    rf"(?<![\w.])(?P<type>[A-Za-z_][\w.]{{0,99}}?{_SUFFIX})(?::(?=\s|$)|\((?=[\"']))"
)
_BARE = re.compile(rf"\s*(?P<type>[A-Za-z_][\w.]{{0,99}}?{_SUFFIX})\s*$")
# Native code says why it ends the process; what a shell or a launcher prints below is only that it did.
_REASON = re.compile(
    r"failed assertion|OMP: Error #|libc\+\+abi: terminating|LLVM ERROR: |terminate called after throwing"
    r"|\*\*\* Terminating app due to uncaught exception|^Assertion failed: "
    r"|\(mpsFileLoc\): .{0,400}: error: |\bloc\(\".{0,400}\): error: "
)
_COMPILER = re.compile(
    r": error: "
)  # Apple's graph compiler says what, and LLVM below that it gave up
_KILLED = re.compile(
    rf"{_REASON.pattern}|Fatal Python error|Segmentation fault"
    r"|Abort trap|Bus error|^Killed\b|Killed: 9|^\S{0,10}sh: .{0,80}?(?:killed|abort|fault|trap)\b"
    r"|\bSignal \d+ \(SIG[A-Z]+\) received|^Process finished with exit code 1(?:3[0-9]|4[0-3])\b"
    r"|^\[\d+\] +[-+]? *\d+ (?:killed|abort|segmentation fault|bus error|trace trap)\b"
)
_BY_THE_SYSTEM = re.compile(r"\b[Kk]illed\b|SIGKILL|exit code 137\b")
# pytest's last lines repeat each message, cut off at the width of the terminal.
_SUMMED_UP = re.compile(r"(?:FAILED|ERROR|XFAIL|XPASS|SUBFAILED\S*) \S+::\S")
_IGNORED = re.compile(r"^Exception ignored in|^Error in atexit|^Error in sys\.excepthook")
_CHAINS = {
    "The above exception was the direct cause of the following exception": "cause",
    "During handling of the above exception, another exception occurred": "context",
}
# They say that another process failed, or that this one was told to stop: no reason of their own.
_MESSENGERS = frozenset(
    {
        "ChildFailedError",
        "CalledProcessError",
        "KeyboardInterrupt",
        "ProcessExitedException",
        "ProcessRaisedException",
        "SystemExit",
        "SignalException",
    }
)
_SUMMARY = "Root Cause (first observed failure):"  # torchrun's; the rank is a few lines below
_FIRST_FAILED = re.compile(r"\brank\s{0,20}: (\d{1,6})")


@dataclass(frozen=True)
class Event:
    """An exception, a warning or an abort; ``start`` is where its traceback begins.

    ``position`` is where its own line begins and ``end`` where its message ends. ``role`` is one of
    ``ROLES``. ``before``: how the exception after it was raised, "cause" or "context"; else None.
    """

    start: int
    position: int
    end: int
    type: str
    message: str
    kind: str  # "raised", "warning", "abort", "ignored"
    frames: tuple[Frame, ...]
    rank: str | None
    role: str = "earlier"
    before: str | None = None

    @property
    def line(self) -> str:
        """The exception as Python prints it, on one line of at most 300 characters."""
        return tracebacks.shorten(self.message)


@dataclass(frozen=True)
class Log:
    """A cleaned and untangled text with its events in the order of their offsets in ``text``."""

    text: str
    events: tuple[Event, ...]

    @property
    def ended(self) -> Event | None:
        """The exception that ended the program."""
        return next((each for each in self.events if each.role == "ended"), None)

    def event_at(self, position: int) -> Event | None:
        """Return the event whose traceback or message contains an offset of the text."""
        index = bisect_right([each.start for each in self.events], position) - 1
        if index >= 0 and position < self.events[index].end:
            return self.events[index]
        return None

    def role_at(self, position: int) -> str:
        """Return what an offset of the text belongs to, one of ``ROLES``."""
        event = self.event_at(position)
        if event is not None:
            return event.role
        return "ended" if self.ended is None else "line"


def read(text: str) -> Log:
    """Untangle a text from ``tracebacks.clean`` and find what ended the program."""
    parts = _by_rank(text)
    last = {part.rank: _last(part) for part in parts}
    _, _, summary = text.rpartition(_SUMMARY)
    named = _FIRST_FAILED.search(summary[:500]) if len(summary) < len(text) else None
    first_failed = named[1] if named and last.get(named[1]) is not None else None

    def failed(part: _Part) -> tuple[bool, bool, float]:
        event = last[part.rank]
        if event is None:
            return (False, False, 0)
        return (not _is_messenger(event), part.rank == first_failed, -part.origin(event.position))

    parts.sort(key=failed)
    events: list[Event] = []
    pieces: list[str] = []
    length = 0
    for part in parts:
        decides = part is parts[-1]
        events += [_moved(each, length) for each in _roles(part, last[part.rank], decides)]
        pieces.append(part.text)
        length += len(part.text)
    return Log("".join(pieces), tuple(events))


class _Part:
    """What one rank wrote (None: lines without a mark), and where each line was in the whole text."""

    def __init__(self, rank: str | None) -> None:
        self.rank = rank
        self.lines: list[str] = []
        self._starts: list[int] = []
        self._origins: list[int] = []
        self._length = 0
        self._events: list[Event] | None = None

    def add(self, line: str, origin: int) -> None:
        self._starts.append(self._length)
        self._origins.append(origin)
        self.lines.append(line)
        self._length += len(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def origin(self, position: int) -> int:
        """Return where the line at an offset of this part begins in the whole text."""
        return self._origins[bisect_right(self._starts, position) - 1]

    def events(self) -> list[Event]:
        if self._events is None:
            self._events = _events(self.lines, self.rank)
        return self._events


def _by_rank(text: str) -> list[_Part]:
    """Split a text into what each rank wrote, without the marks before the lines."""
    marks = _other_marks(text)
    parts: dict[str | None, _Part] = {}
    offset = 0
    for whole in text.splitlines(keepends=True):
        line, rank = whole, None
        if match := _STREAM.match(line):
            line = line[match.end() :]
        if match := _RANK.match(line):
            line, rank = line[match.end() :], match[match.lastgroup or 0]
        elif marks and (match := marks.match(line)):
            line, rank = line[match.end() :], _steady(match[0])
        if rank not in parts:
            parts[rank] = _Part(rank)
        if not line.endswith("\n"):
            line += "\n"
        parts[rank].add(line, offset)
        offset += len(whole)
    return list(parts.values()) or [_Part(None)]


def _other_marks(text: str) -> re.Pattern[str] | None:
    """Return what matches the marks of a logger or a container, where each line of a traceback has one."""
    for match in _TRACEBACK.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        mark = text[start : match.start()]
        if not mark.strip(" |+") or len(mark) > 120 or _RANK.match(_STREAM.sub("", mark)):
            continue
        shape = re.sub(r"\d+", "\0", mark)
        pattern = re.compile(re.escape(shape).replace(re.escape("\0"), r"\d{1,12}"))
        below = text.find("\n", match.end()) + 1
        same = pattern.match(text, below) if below else None
        if same and text[same.end() : same.end() + 12].lstrip().startswith("File"):
            return pattern
    return None


def _steady(mark: str) -> str | None:
    """Return a container's name out of a mark; None if the mark is only a time or a level."""
    name = re.sub(r"[\d:.,TZ+\[\]|-]{6,}|\b(?:ERROR|INFO|WARNING|stderr|stdout)\b", "", mark).strip(
        " |:-[]"
    )
    return name or None


def _events(lines: list[str], rank: str | None) -> list[Event]:
    events: list[Event] = []
    offset = start = 0
    frames: list[Frame] = []
    inside = ignored = False
    for number, line in enumerate(lines):
        if _TRACEBACK.search(line):
            start, frames, inside = offset, [], True
        elif _SUMMED_UP.match(line):
            pass
        elif _IGNORED.match(line):
            ignored = True
        elif frame := traceback_frames.on_line(line):
            if not inside:
                start, frames, inside = offset, [], True
            frames.append(frame)
        elif found := _exception(line, inside and bool(frames)):
            type_, at, kind = found
            if kind == "raised" and ignored:
                kind = "ignored"
            events.append(
                Event(
                    start if inside else offset,
                    offset + at,
                    offset + len(line),
                    type_.rpartition(".")[2],
                    _message(lines, number, at),
                    kind,
                    tuple(frames),
                    rank,
                )
            )
            frames, inside, ignored = [], False, False
        elif events and (
            chain := next((how for words, how in _CHAINS.items() if words in line), None)
        ):
            events[-1] = replace(events[-1], before=chain)
        offset += len(line)
    return _with_ends(events, offset)


def _message(lines: list[str], number: int, at: int) -> str:
    """Return an exception's type and message; transformers begins its own messages on the next line."""
    first = lines[number][at:].rstrip()
    if first.endswith(":"):
        below = (line.strip() for line in lines[number + 1 : number + 3])
        return " ".join([first, next((line for line in below if line), "")]).rstrip()
    return first


def _with_ends(events: list[Event], length: int) -> list[Event]:
    """Let each message reach to the next event's traceback, within reason."""
    nexts = [*(each.start for each in events), length][1:]
    return [
        replace(each, end=max(each.end, min(following, each.position + _LONGEST_MESSAGE)))
        for each, following in zip(events, nexts, strict=bool(events))
    ]


def _exception(line: str, after_frames: bool) -> tuple[str, int, str] | None:
    """Return the type of the exception on a line, where it begins, and its kind."""
    short = line[:4_100]
    if _KILLED.search(short):
        return ("", 0, "abort")
    if after_frames and (match := _LAST_LINE.match(short)):
        type_ = match["type"]
        if type_[0].isupper() or "." in type_ or type_.endswith(("error", "Error")):
            return (type_, 0, _kind(type_))
    for match in _NAMED.finditer(short):
        before = short[: match.start()]
        if before.endswith(("raise ", "except ")) or tracebacks.is_source(line, match.start()):
            return None
        return (match["type"], match.start(), _kind(match["type"]))
    if match := _BARE.match(short):
        return (match["type"], match.start("type"), _kind(match["type"]))
    return None


def _kind(type_: str) -> str:
    return "warning" if type_.endswith("Warning") else "raised"


def _last(part: _Part) -> Event | None:
    """Return the event that ended a rank; one that only tells of another failure counts least.

    A process that aborts has mostly printed why: that decides, not the line about the abort.
    """
    ends = [each for each in part.events() if each.kind in ("raised", "abort")]
    last = next(
        (each for each in reversed(ends) if not _is_messenger(each)), ends[-1] if ends else None
    )
    if last is not None and not last.frames and ends[-1].type == "KeyboardInterrupt":
        return (
            ends[-1] if ends[-1].frames else last
        )  # what was logged before did not end the program
    if last is None or last.kind != "abort" or _BY_THE_SYSTEM.search(last.message):
        return last
    reason: Event | None = None
    for each in reversed(ends[: ends.index(last) + 1]):
        if each.kind != "abort":
            break
        if _REASON.search(each.message) and (reason is None or _COMPILER.search(each.message)):
            reason = each
    return reason or last


def _is_messenger(event: Event) -> bool:
    return event.type in _MESSENGERS or "DataLoader worker (pid" in event.message


def _roles(part: _Part, last: Event | None, decides: bool) -> Iterator[Event]:
    """Yield the events of a part with their roles."""
    link: str | None = (
        None  # how the event after this one was raised, seen from the one that ended it
    )
    roles: list[Event] = []
    for each in reversed(part.events()):
        role = "after" if link is None and last is not None else "earlier"
        if last is not None and each.position == last.position:
            role = "ended" if decides else "after" if _is_messenger(each) else "rank"
            link = "ended"
        elif each.kind == "warning":
            role = "warning"
        elif link not in (None, "none") and each.before:
            link = "context" if "context" in (link, each.before) else "cause"
            role = link if decides else "earlier"
        elif link is not None:
            link = "none"
        roles.append(replace(each, role=role))
    yield from reversed(roles)


def _moved(event: Event, by: int) -> Event:
    return replace(event, start=event.start + by, position=event.position + by, end=event.end + by)


def rejoin(log: Log) -> Log | None:
    """Undo a hard wrap in the middle of words, in the last message; None where there is none.

    A terminal of fixed width breaks a line after as many characters as it has columns.
    """
    event = log.ended
    start = event.position if event else 0
    message = log.text[start : event.end if event else len(log.text)]
    lines = message.splitlines()
    width = len(lines[0]) if lines else 0
    wrapped = 0
    while wrapped < len(lines) - 1 and len(lines[wrapped]) == width >= 30:
        wrapped += 1
    if not wrapped:
        return None
    joined = "".join(lines[: wrapped + 1]) + "\n" + "\n".join(lines[wrapped + 1 :])
    return read(log.text[:start] + joined + "\n" + log.text[start + len(message) :])
