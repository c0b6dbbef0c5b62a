"""Recognise the errors of a program that was written for another release of a library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from metalassay.bugs import tracebacks
from metalassay.bugs.api_history import PACKAGES
from metalassay.diagnosis import traceback_frames
from metalassay.diagnosis.traceback_frames import Frame

_MOST = 40  # of one kind in one text: a log that repeats an error is not searched for each
_Q = r"(?:['\"`]|&#39;|&#x27;|&quot;)?"
_S = r"\s+"  # terminals wrap long messages at any space
_ROOTS = "|".join(PACKAGES)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace(" ", _S).replace("Q", _Q))


# Each begins with a word of its own, so that a search runs through a log quickly.
_UNEXPECTED = _pattern(r"got an unexpected keyword argument Q(?P<name>\w{1,100})Q")
_MISSING = _pattern(
    r"missing \d+ required (?:positional|keyword-only) arguments?: (?P<names>[\w'\"`,\s]{1,600})"
)
_TAKES = _pattern(
    r"takes (?:from \d+ to )?(?P<most>\d+) positional arguments? but (?P<given>\d+)"
    r"(?: positional arguments?[^\n]{0,60})? (?:was|were) given"
)
_IMPORT = _pattern(
    r"cannot import name Q(?P<name>\w{1,100})Q from (?P<partial>partially initialized module )?"
    rf"Q(?P<module>(?:{_ROOTS})(?:\.\w+){{0,8}})Q(?P<rest>[^\n]{{0,400}})"
)
_MODULE_ATTRIBUTE = _pattern(
    rf"module Q(?P<module>(?:{_ROOTS})(?:\.\w+){{0,8}})Q has no attribute Q(?P<name>\w{{1,100}})Q"
)
_OBJECT_ATTRIBUTE = _pattern(
    r"object Qhas no attribute Q(?P<name>\w{1,100})Q".replace(" Qhas", " has")
)
_NO_MODULE = _pattern(
    rf"No module named Q(?P<module>(?:{_ROOTS})(?:\.\w+){{1,8}})Q(?P<rest>[^\n]{{0,120}})"
)
_BUILDER_KEY = _pattern(
    r"BuilderConfig (?P<config>\w{1,80})\([^\n]{0,2000}\) doesn.t have a Q(?P<name>\w{1,100})Q key"
)
_CALLEE = re.compile(r"(?<![\w.<>])(?P<callee>[\w.<>]{1,180})\(\)\s+$")
_OBJECT = re.compile(rf"{_Q}(?P<object>[A-Za-z_]\w{{0,99}}){_Q}\s+$")
_CALL = re.compile(r"([A-Za-z_][\w.]{0,100})\(")


@dataclass(frozen=True)
class Question:
    """An error as the text has it.

    ``kind`` is "unexpected", "missing", "takes", "import", "attribute" (of a module), "object" or
    "module". ``owner`` is the qualified name of what was called, the module, or the object's class;
    empty if the text does not say. ``names`` are the arguments or names concerned. ``most`` and
    ``given`` count positional arguments. ``rest`` is what follows in the message.
    """

    kind: str
    owner: str
    names: tuple[str, ...]
    words: str
    position: int
    frames: tuple[Frame, ...]
    most: int = 0
    given: int = 0
    rest: str = ""

    @property
    def caller(self) -> str:
        """The library whose line raised the exception, "" for the user's own, "?" if unknown."""
        return self.frames[-1].library if self.frames else "?"


def questions(text: str) -> tuple[Question, ...]:
    """Return the errors of these kinds in a text from ``tracebacks.clean``, one for each subject."""
    found: dict[tuple[str, str, tuple[str, ...]], Question] = {}
    for question in _all(text):
        found[question.kind, question.owner, question.names] = question
    return tuple(sorted(found.values(), key=lambda each: each.position))


def _all(text: str) -> Iterator[Question]:
    for kind, pattern in (("unexpected", _UNEXPECTED), ("missing", _MISSING), ("takes", _TAKES)):
        for match in _last(pattern, text):
            before = text[max(0, match.start() - 200) : match.start()]
            if callee := _CALLEE.search(before):
                frames = traceback_frames.before(text, match.start())
                yield _question(
                    text, match, kind, _owner(callee["callee"], frames), _names(match), frames,
                    match.start() - len(before) + callee.start(),
                )  # fmt: skip
    for match in _last(_BUILDER_KEY, text):  # datasets' own words for an unexpected argument
        frames = traceback_frames.before(text, match.start())
        owner = f"{match['config']}.__init__"
        yield _question(text, match, "unexpected", owner, (match["name"],), frames)
    for kind, pattern in (
        ("import", _IMPORT), ("attribute", _MODULE_ATTRIBUTE), ("module", _NO_MODULE),
    ):  # fmt: skip
        for match in _last(pattern, text):
            frames = traceback_frames.before(text, match.start())
            yield _question(text, match, kind, match["module"], _names(match), frames)
    for match in _last(_OBJECT_ATTRIBUTE, text):
        before = text[max(0, match.start() - 120) : match.start()]
        if subject := _OBJECT.search(before):
            frames = traceback_frames.before(text, match.start())
            yield _question(
                text, match, "object", subject["object"], _names(match), frames,
                match.start() - len(before) + subject.start(),
            )  # fmt: skip


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    matches = list(pattern.finditer(text))[-_MOST:]
    return [each for each in matches if not tracebacks.is_source(text, each.start())]


def _question(
    text: str,
    match: re.Match[str],
    kind: str,
    owner: str,
    names: tuple[str, ...],
    frames: tuple[Frame, ...],
    start: int | None = None,
) -> Question:
    start = match.start() if start is None else start
    groups = match.groupdict()
    return Question(
        kind=kind,
        owner=owner,
        names=names,
        words=tracebacks.shorten(tracebacks.line_at(text, start, match.end())),
        position=start,
        frames=frames,
        most=int(groups.get("most") or 0),
        given=int(groups.get("given") or 0),
        rest=(groups.get("partial") or "") + (groups.get("rest") or ""),
    )


def _names(match: re.Match[str]) -> tuple[str, ...]:
    groups = match.groupdict()
    if groups.get("names"):
        return tuple(re.findall(r"['\"`](\w+)['\"`]", groups["names"]))
    return (groups["name"],) if groups.get("name") else ()


def _owner(callee: str, frames: tuple[Frame, ...]) -> str:
    """Return the qualified name of what was called.

    Python 3.9 and older print "__init__()" alone; then the class is taken from the line that called
    it, if that line names one. Markdown makes "init()" of it.
    """
    callee = callee.rpartition("<locals>.")[2]
    parts = callee.split(".")
    if parts[-1] == "init":
        parts[-1] = "__init__"
    if parts == ["__init__"]:
        called = _CALL.findall(frames[-1].source) if frames else []
        classes = [name for each in called if (name := each.rpartition(".")[2])[:1].isupper()]
        if len(set(classes)) != 1:
            return "__init__"
        parts = [classes[0], "__init__"]
    return ".".join(parts)
