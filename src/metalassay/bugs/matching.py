"""Find the known bugs whose symptoms appear in a text, and rank them.

Hits are ordered by these criteria, the first one counting most:

1. the installed versions have the bug with this symptom, have it with another symptom, it is
   unknown, they do not have it;
2. the message is specific to the bug, not ``generic`` (a generic one that anybody's code may raise
   counts only below a frame of one of the bug's packages);
3. the bug's class is named nearby (the first part of its id: ``grpo``, ``trainer``), one of its
   packages is, neither is;
4. exception type and message match, the message alone, one of the ``seen`` patterns;
5. the message is complete, or cut off;
6. it comes later in the text;
7. the order of the data.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metalassay import bugs
from metalassay.bugs import patterns as patterns_of_data
from metalassay.bugs import tracebacks

APPLIES = ("yes", "otherwise", "unknown", "no")
HOW = ("raised", "message", "seen")

_NEAR = 16_000  # characters before the words in which their traceback names files
_TOLD = 2_000  # characters around a description in which it says what it is about


@dataclass(frozen=True)
class Evidence:
    """The lines in which a symptom's pattern was found, and how it matched.

    ``how`` is ``raised`` (exception type and message), ``message`` (the message without a type, or
    with one that may wrap it) or ``seen`` (another message of the same bug). ``generic``: other
    mistakes produce the same message. ``cut``: the text ends before the pattern does.
    """

    symptom: str
    how: str
    words: str
    generic: bool
    cut: bool


@dataclass(frozen=True)
class Hit:
    """A bug with a symptom in the text at ``position``; ``applies`` is one of ``APPLIES``."""

    bug: bugs.Bug
    evidence: Evidence
    applies: str
    named: int  # 2: the class, 1: a package, 0: neither
    position: int

    @property
    def rank(self) -> tuple[int, bool, int, int, bool, int]:
        """Sort key; the module's docstring explains the order."""
        return (
            APPLIES.index(self.applies),
            self.evidence.generic,
            -self.named,
            HOW.index(self.evidence.how),
            self.evidence.cut,
            -self.position,
        )


def recognise(text: str, installed: Mapping[str, str]) -> tuple[Hit, ...]:
    """Return one hit for each known bug with a symptom in the text, the best first.

    ``text`` comes from ``tracebacks.clean``. ``installed`` maps package names to versions; nothing
    is assumed about a package that it lacks.
    """
    hits = [*_hits(text, installed)] or [*_cut_hits(text, installed)]
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: hit.rank):
        best.setdefault(hit.bug.id, hit)
    explained = {hit.evidence.words for hit in best.values() if hit.applies == "yes"}
    return tuple(
        hit
        for hit in best.values()
        # Where a bug that applies explains a message, drop those of packages that are neither
        # installed nor named.
        if hit.applies != "unknown" or hit.named or hit.evidence.words not in explained
    )


def _hits(text: str, installed: Mapping[str, str]) -> Iterator[Hit]:
    for bug in bugs.load():
        for symptom in bug.symptoms:
            for pattern, raises in patterns(symptom):
                for match in reversed([*patterns_of_data.compiled(pattern).finditer(text)]):
                    hit = _hit(bug, symptom, raises, text, match.span(), installed)
                    if hit:
                        yield hit
                        break


def _cut_hits(text: str, installed: Mapping[str, str]) -> Iterator[Hit]:
    for start, line in tracebacks.cut_lines(text):
        for bug in bugs.load():
            for symptom in bug.symptoms:
                for pattern, raises in patterns(symptom):
                    if match := _beginning(pattern, line):
                        span = (start + match.start(), start + match.end())
                        hit = _hit(bug, symptom, raises, text, span, installed, cut=True)
                        if hit:
                            yield hit


def patterns(symptom: bugs.Symptom) -> Iterator[tuple[str, str | None]]:
    """Yield each pattern to look for with its exception type; None for those of ``seen``.

    An AssertionError is raised by our own tests, so no user has seen its message. When a rank fails,
    our tests see ``Type: message`` inside an exception of ours, and users see the exception itself.
    """
    if symptom.raises.startswith("metalassay."):
        raises, _, match = symptom.match.partition(": ")
        yield match.removeprefix(".*"), raises
    elif symptom.raises != "AssertionError":
        yield symptom.match, symptom.raises.rpartition(".")[2]
    for pattern in symptom.seen:
        yield pattern, None


def _beginning(pattern: str, line: str) -> re.Match[str] | None:
    """Match a pattern at the end of a line; up to the last sixth of the pattern may be missing."""
    shortest = len(pattern) * 5 // 6
    if _whole_word(pattern[:shortest]) not in line:
        return None
    for length in range(len(pattern) - 1, shortest, -1):
        try:
            beginning = re.compile(rf"{patterns_of_data.expression(pattern[:length])}\Z")
        except re.error:  # the pattern was cut inside a group or an escape
            continue
        if match := beginning.search(line):
            return match
    return None


@functools.cache
def _whole_word(beginning: str) -> str:
    """Return a word that a text has if it has the beginning of a pattern, whose last word may be cut."""
    try:
        return patterns_of_data.required_word(re.sub(r"\w+$", "", beginning))
    except ValueError:  # the pattern was cut inside a class or a repetition
        return ""


def _hit(
    bug: bugs.Bug,
    symptom: bugs.Symptom,
    raises: str | None,
    text: str,
    span: tuple[int, int],
    installed: Mapping[str, str],
    cut: bool = False,
) -> Hit | None:
    """Return the hit for a match at ``span``, or None where the match is not this symptom."""
    start, end = span
    if tracebacks.is_source(text, start):
        return None
    raised = tracebacks.exception_before(text, start)
    if raises is None:
        how = "seen"
    elif raised == raises:
        how = "raised"
    elif raised is not None and tracebacks.are_unrelated(raised, raises):
        return None
    else:
        how = "message"
    applies = _applies(bug, symptom, installed)
    if symptom.generic and applies == "no":
        return None  # neither the message nor the versions point to this bug
    words = tracebacks.shorten(tracebacks.line_at(text, start, end))
    if not all(
        re.search(rf"(?<!\w)(?:{each})", text[max(0, start - _TOLD) : end + _TOLD], re.IGNORECASE)
        for each in symptom.about
    ):
        return None
    near = text[max(0, start - _NEAR) : end + 500]
    anywhere = symptom.own_words or symptom.about
    if symptom.generic and not anywhere and not _has_frame(bug, symptom, near):
        return None
    evidence = Evidence(symptom.id, how, words, symptom.generic, cut)
    return Hit(bug, evidence, applies, _named(bug, near), start)


def _named(bug: bugs.Bug, near: str) -> int:
    first = bug.id.partition("-")[0]
    if first not in bug.packages and first in near.lower():
        return 2
    return int(any(re.search(rf"\b{re.escape(package)}\b", near) for package in bug.packages))


def _has_frame(bug: bugs.Bug, symptom: bugs.Symptom, near: str) -> bool:
    """Return whether a traceback nearby goes through one of the bug's packages."""
    if symptom.frame is not None:
        return bool(re.search(symptom.frame, near))
    wheres = (bug.where, *(symptom.where for symptom in bug.symptoms))
    packages = {package for where in wheres for alternative in where for package in alternative}
    names = "|".join(re.escape(package.replace("-", "_")) for package in sorted(packages))
    frame = rf"[\\/](?:{names})[\\/][\w\\/]+\.py\b"
    lazily = rf"Failed to import (?:{names})\."  # transformers' and TRL's lazy modules say that
    return bool(re.search(f"{frame}|{lazily}", near))


def _applies(bug: bugs.Bug, symptom: bugs.Symptom, installed: Mapping[str, str]) -> str:
    if bug.hits(installed, symptom.id):
        return "yes"
    if bug.hits(installed):
        return "otherwise"
    return "unknown" if missing(symptom.where, installed) else "no"


def missing(where: bugs.Where, installed: Mapping[str, str]) -> list[str]:
    """Return the packages that are not installed and whose versions would decide.

    Alternatives that an installed package rules out are left aside.
    """
    possible = [
        alternative
        for alternative in where
        if all(
            package not in installed or versions.contains(installed[package], prereleases=True)
            for package, versions in alternative.items()
        )
    ]
    return sorted({each for alternative in possible for each in alternative} - installed.keys())
