"""Explain a traceback or a log line: what ended the program, its cause, and what to do about it.

Every source of answers looks at the same cleaned text; one ranking orders what they find:

1. what applies to the versions, or may apply, before what does not;
2. what explains the exception that ended the program, before what explains another line;
3. among these by how sure it is that it applies, then what is specific before what is generic;
4. the order of ``SOURCES``, then the source's own order.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay import bugs
from metalassay.bugs import limits, tracebacks
from metalassay.bugs.matching import APPLIES
from metalassay.bugs.matching import patterns as patterns_of
from metalassay.diagnosis import (
    api_answer,
    bug_answer,
    known_packages,
    limit_answer,
    log_excerpt,
    operator_answer,
    program_end,
    text_facts,
    traceback_frames,
    unrecognised,
)
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.program_end import ROLES, Log
from metalassay.environment import versions as environment
from metalassay.errors import UserError

Source = Callable[[str, Mapping[str, str]], tuple[Found, ...]]

SOURCES: Mapping[str, Source] = {
    "bug": bug_answer.find,
    "operator": operator_answer.find,
    "api": api_answer.find,
    "limit": limit_answer.find,
}
"""Who answers, the most specific first: where two explain the same line, the first one leads."""

_EXPLAINS = ("ended", "cause")
_ORDER = tuple(SOURCES)


@dataclass(frozen=True)
class Explanation:
    """One thing that was found, and what part of the log it explains.

    ``role`` is one of ``program_end.ROLES``. ``exception`` is the exception whose message or
    traceback contains the words, if one does, and ``rank`` the one that printed it. ``explains``:
    this explains what ended the program, or all that there is, in versions that may be these.
    """

    found: Found
    role: str
    rank: str | None
    exception: str | None
    explains: bool


@dataclass(frozen=True)
class Answer:
    """What a text means, the likeliest explanation first.

    ``versions`` are those that were judged by and ``notes`` say where they come from, if not from
    ``installed``. ``ended`` is the exception that ended the program, ``exceptions`` are all, the last
    one first. ``recognised`` is None if the end is explained.
    """

    versions: Mapping[str, str]
    notes: tuple[str, ...]
    facts: text_facts.Facts
    ended: str | None
    rank: str | None
    exceptions: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    recognised: unrecognised.Recognised | None

    @property
    def explained(self) -> bool:
        """Return whether the end of the program is explained."""
        return any(each.explains for each in self.explanations)

    def as_json(self) -> dict[str, Any]:
        """Return everything as values for JSON."""
        return {
            "explained": self.explained,
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "facts": asdict(self.facts),
            "ended": self.ended,
            "rank": self.rank,
            "exceptions": list(self.exceptions),
            "explanations": [
                {
                    **asdict(each.found),
                    "role": each.role,
                    "rank": each.rank,
                    "exception": each.exception,
                    "explains": each.explains,
                }
                for each in self.explanations
            ],
            "recognised": asdict(self.recognised) if self.recognised else None,
        }


def explain(text: str, installed: Mapping[str, str], given: bool = False) -> Answer:
    """Find what a message, a traceback or a log means; never fails, whatever the text.

    ``installed`` maps package names to versions; nothing is assumed about a package that it lacks.
    ``given``: they were named by the user, so they win over what the text says.
    """
    if len(text) > log_excerpt.WHOLE:
        text = log_excerpt.read(io.BytesIO(text.encode("utf-8", "replace"))).text
    cleaned = tracebacks.clean(text)
    log = program_end.read(cleaned)
    explanations, facts, versions, notes = _look(log, installed, given)
    if not any(each.explains for each in explanations):
        rejoined = program_end.rejoin(log)
        if rejoined is not None:
            again = _look(rejoined, installed, given)
            if any(each.explains for each in again[0]):
                log, (explanations, facts, versions, notes) = rejoined, again
    ended = log.ended
    answer = Answer(
        versions=versions,
        notes=notes,
        facts=facts,
        ended=ended.line if ended else None,
        rank=ended.rank if ended else None,
        exceptions=tracebacks.exceptions(log.text),
        explanations=explanations,
        recognised=None,
    )
    if answer.explained:
        return answer
    shown = {each.found.id for each in explanations}
    others = [row for row in messages() if row.id not in shown]
    recognised = unrecognised.describe(log, facts, versions, others)
    return Answer(**{**vars(answer), "recognised": recognised})


def _look(
    log: Log, installed: Mapping[str, str], given: bool
) -> tuple[tuple[Explanation, ...], text_facts.Facts, dict[str, str], tuple[str, ...]]:
    ended = log.ended
    message = log.text[ended.start : ended.end] if ended else log.text
    facts = text_facts.read(log.text, message[-log_excerpt.WHOLE :])
    versions, notes = text_facts.merge(facts, installed, given)
    found = [each for source in SOURCES.values() for each in source(log.text, versions)]
    explanations = [
        _explanation(_against_history(each, found), log)
        for each in found
        if not _is_in_other_code(each, log)
    ]
    return tuple(sorted(explanations, key=_rank)), facts, versions, notes


def _is_in_other_code(found: Found, log: Log) -> bool:
    """Return whether a bug's exception was raised by a line that is not of the libraries concerned.

    An UnboundLocalError is about a variable of the very function that raises it, and that function's line
    names it. People cut tracebacks short, so the last frame alone says little.
    """
    event = log.event_at(found.position)
    if found.source != "bug" or event is None or event.type != "UnboundLocalError":
        return False
    if not event.frames or event.frames[-1].library in environment.STACK:
        return False
    variable = re.search(r"'(\w+)'", event.message)
    last = traceback_frames.before(log.text, event.position)[-1:]
    return variable is not None and any(variable[1] in frame.source for frame in last)


def _against_history(found: Found, others: Iterable[Found]) -> Found:
    """Let a bug not apply where the API history knows that these versions do not say so.

    One bug may gather several arguments that went in different releases.
    """
    if found.source != "bug" or found.applies != "otherwise":
        return found
    for other in others:
        if other.source == "api" and other.applies == "no" and other.words == found.words:
            return replace(found, applies="no", note=other.note)
    return found


def _explanation(found: Found, log: Log) -> Explanation:
    event = log.event_at(found.position)
    role = log.role_at(found.position)
    decides = role in _EXPLAINS or log.ended is None
    return Explanation(
        found=found,
        role=role,
        rank=event.rank if event else None,
        exception=event.line if event else None,
        explains=decides and found.applies != "no",
    )


def _rank(each: Explanation) -> tuple[bool, int, int, bool, int]:
    found = each.found
    return (
        found.applies == "no",
        ROLES.index(each.role),
        APPLIES.index(found.applies),
        found.generic,
        _ORDER.index(found.source),
    )


def parse_versions(text: str) -> dict[str, str]:
    """Parse a list such as ``accelerate=1.8.0,torch=2.5.1``.

    Raises ``UserError`` if it is malformed, or names a package that is spelt almost like a known one.
    """
    versions: dict[str, str] = {}
    for item in text.split(","):
        package, _, version = item.partition("=")
        version = version.removeprefix("=").strip()
        try:
            Version(version)
            name = canonicalize_name(package.strip(), validate=True)
        except ValueError:
            raise UserError(
                f"--versions: {item.strip()!r} is not PACKAGE=VERSION",
                "metalassay explain --versions accelerate=1.8.0,torch=2.5.1 TEXT",
            ) from None
        versions[name] = version
    for unknown in versions.keys() - _known_names():
        # A package that nobody here heard of decides nothing; a misspelt one would.
        if like := known_packages.similar(unknown, _known_names()):
            raise UserError(
                f"--versions: no data has a package named {unknown!r}", f"did you mean {like}?"
            )
    return versions


def _known_names() -> frozenset[str]:
    """Return the names of all packages that the data or the machine know."""
    of_bugs = {package for bug in bugs.load() for package in bug.packages}
    of_limits = {package for limit in limits.load() for package in limit.packages}
    stack = {*environment.MACHINE, *environment.STACK}
    return known_packages.names() | stack | of_bugs | of_limits


def messages() -> list[unrecognised.Row]:
    """Return the messages of all rows, without the escapes of their patterns; descriptions are none."""
    of_bugs = [
        unrecognised.Row(bug.id, bug.title, readable(pattern))
        for bug in bugs.load()
        for symptom in bug.symptoms
        if not symptom.about
        for pattern, _ in patterns_of(symptom)
    ]
    of_limits = [
        unrecognised.Row(limit.id, _title(limit), readable(pattern))
        for limit in limits.load()
        for pattern in limit.patterns
    ]
    return of_bugs + of_limits


def known() -> list[dict[str, Any]]:
    """Return every known bug and limit with its id, versions, title and the text of its messages."""
    of_bugs = [
        {
            "source": "bug",
            "id": bug.id,
            "affected": bug.where_text(),
            "title": bug.title,
            "reported_only": bug.reported_only,
            "messages": [_symptom_text(symptom) for symptom in bug.symptoms],
        }
        for bug in bugs.load()
    ]
    of_limits = [
        {
            "source": "limit",
            "id": limit.id,
            "affected": bugs.where_text(limit.where),
            "title": _title(limit),
            "reported_only": False,
            "messages": [readable(pattern) for pattern in limit.patterns],
        }
        for limit in limits.load()
    ]
    return of_bugs + of_limits


def _title(limit: limits.Limit) -> str:
    """Return a limit's title without what only a message can fill in."""
    return re.sub(r"\{\w+\}", "…", re.sub(r"\[\[.*?\]\]", "", limit.title)).strip()


def _symptom_text(symptom: bugs.Symptom) -> str:
    texts = (
        f"{raises}: {pattern}" if raises else pattern for pattern, raises in patterns_of(symptom)
    )
    return readable(" | ".join(texts)) or "(silent)"


def readable(pattern: str) -> str:
    """Return a pattern as the message that it is for: without escapes, groups and repetitions."""
    pattern = re.sub(r"\(\?<?!(?:[^()]|\([^()]*\))*\)", "", pattern)  # what must not follow
    pattern = re.sub(r"\(\?(?:P<\w+>|[:=]|<=)", "(", pattern)
    for _ in range(3):  # from the inside out: no optional part, and the first of several
        pattern = re.sub(r"(?<!\\)\([^()]*(?<!\\)\)\?", "", pattern)
        pattern = re.sub(r"(?<!\\)\(([^()|]*)(?:\|[^()]*)?(?<!\\)\)", r"\1", pattern)
    pattern = re.sub(
        r"\\[dDwWsSb][*+?]*(?:\{[\d,]*\})?|\[[^\]]*\][*+?]*(?:\{[\d,]*\})?|\.[*+]\??", "…", pattern
    )
    return re.sub(r"\\(\W)", r"\1", pattern)
