"""Known bugs by the words that they leave in a text, and which of several fits best.

Where several fit, these go first, in this order: (1) what the installed versions show so, then what
they have and show otherwise, then unknown, then not affected; (2) words that only this bug says;
(3) a bug whose class is named near by (``grpo``, ``trainer``: the first part of the id), then one
whose package is; (4) type and message of a symptom, then its message alone, then ``seen``; (5) whole
words before words that are cut off; (6) the last in the text; (7) the order of the data.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metalassay.bugs import catalogue as bugs
from metalassay.bugs import tracebacks

APPLIES = ("yes", "otherwise", "unknown", "no")
HOW = ("raised", "said", "seen")

_NEAR = 16_000  # characters before the words in which their traceback names files
# Words that have other causes as well: Python's about any None and any length, gloo's about any peer
# that left, torch's about any full memory, any view and any float64, and refusals that other devices and data earn rightly.
EVERYDAY = (
    r"'NoneType' object is not",
    r"'NoneType' object has no",
    r"argument of type 'NoneType'",
    r"must be a mapping, not NoneType",
    r"__len__\(\) should return",
    r"Timed out waiting",
    r"MPS backend out of memory",
    r"view size is not compatible",
    r"Cannot convert a MPS Tensor to float64",
    r"mixed precision requires",
    r"setup doesn't support bf16",
    r"max_steps must be set",
    r"set to 'eval_loss'",
)


@dataclass(frozen=True)
class Evidence:
    """The words of the text that a symptom's pattern found, and how they were found.

    ``how``: ``raised`` (exception type and message), ``said`` (the message without a type, or with
    one that may wrap it) or ``seen`` (other words of the same bug). ``everyday`` words have other
    causes as well; ``cut`` ones end before the pattern does.
    """

    symptom: str
    how: str
    words: str
    everyday: bool
    cut: bool


@dataclass(frozen=True)
class Hit:
    """A bug whose words stand in the text at ``position``; ``applies`` is a word of ``APPLIES``."""

    bug: bugs.Bug
    evidence: Evidence
    applies: str
    named: int  # 2: the class, 1: a package, 0: neither
    position: int

    @property
    def rank(self) -> tuple[int, bool, int, int, bool, int]:
        """Sort key; the module's docstring says it in words."""
        return (
            APPLIES.index(self.applies),
            self.evidence.everyday,
            -self.named,
            HOW.index(self.evidence.how),
            self.evidence.cut,
            -self.position,
        )


def recognise(text: str, installed: Mapping[str, str]) -> tuple[Hit, ...]:
    """Return one hit for each known bug that fits a text which ``traces.clean`` made, best first.

    ``installed`` maps package names to versions; of a package that it lacks nothing is known.
    """
    hits = [*_hits(text, installed)] or [*_cut_hits(text, installed)]
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: hit.rank):
        best.setdefault(hit.bug.id, hit)
    settled = {hit.evidence.words for hit in best.values() if hit.applies == "yes"}
    return tuple(
        hit
        for hit in best.values()
        # A package that is neither installed nor named deserves no second opinion.
        if hit.applies != "unknown" or hit.named or hit.evidence.words not in settled
    )


def _hits(text: str, installed: Mapping[str, str]) -> Iterator[Hit]:
    for bug in bugs.load():
        for symptom in bug.symptoms:
            for pattern, raises in patterns(symptom):
                for found in reversed([*_compiled(pattern).finditer(text)]):
                    hit = _hit(bug, symptom, raises, text, found.span(), installed)
                    if hit:
                        yield hit
                        break


def _cut_hits(text: str, installed: Mapping[str, str]) -> Iterator[Hit]:
    for start, line in tracebacks.cut_lines(text):
        for bug in bugs.load():
            for symptom in bug.symptoms:
                for pattern, raises in patterns(symptom):
                    if found := _beginning(pattern, line):
                        span = (start + found.start(), start + found.end())
                        hit = _hit(bug, symptom, raises, text, span, installed, cut=True)
                        if hit:
                            yield hit


def patterns(symptom: bugs.Symptom) -> Iterator[tuple[str, str | None]]:
    """Yield each pattern to look for with the exception type it belongs to; None for ``seen``.

    The message of an AssertionError is our tests' own: no user ever saw it. Of a rank that failed
    our tests see ``Type: message`` in an exception of ours, and users the exception itself.
    """
    if symptom.raises.startswith("metalassay."):
        raises, _, match = symptom.match.partition(": ")
        yield match.removeprefix(".*"), raises
    elif symptom.raises != "AssertionError":
        yield symptom.match, symptom.raises.rpartition(".")[2]
    for pattern in symptom.seen:
        yield pattern, None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Terminals wrap long messages at any space.
    return re.compile(pattern.replace(" ", r"\s+"))


def _beginning(pattern: str, line: str) -> re.Match[str] | None:
    """Look at the line's end for a pattern of which at most the last sixth is missing."""
    for length in range(len(pattern) - 1, len(pattern) * 5 // 6, -1):
        try:
            found = _compiled(rf"(?:{pattern[:length]})\Z").search(line)
        except re.error:  # cut inside a group or an escape
            continue
        if found:
            return found
    return None


def _hit(
    bug: bugs.Bug,
    symptom: bugs.Symptom,
    raises: str | None,
    text: str,
    span: tuple[int, int],
    installed: Mapping[str, str],
    cut: bool = False,
) -> Hit | None:
    """Weigh words that a pattern found; None where they say something else."""
    start, end = span
    if tracebacks.is_source(text, start):
        return None
    raised = tracebacks.exception_before(text, start)
    if raises is None:
        how = "seen"
    elif raised == raises:
        how = "raised"
    elif raised is not None and tracebacks.are_strangers(raised, raises):
        return None
    else:
        how = "said"
    everyday = bool(re.search("|".join(EVERYDAY), " ".join(text[start:end].split())))
    applies = _applies(bug, symptom, installed)
    if everyday and applies == "no":
        return None  # nothing speaks for it
    words = tracebacks.shorten(tracebacks.line_at(text, start, end))
    near = text[max(0, start - _NEAR) : end + 500]
    return Hit(
        bug, Evidence(symptom.id, how, words, everyday, cut), applies, _named(bug, near), start
    )


def _named(bug: bugs.Bug, near: str) -> int:
    first = bug.id.partition("-")[0]
    if first not in bug.packages and first in near.lower():
        return 2
    return int(any(re.search(rf"\b{re.escape(each)}\b", near) for each in bug.packages))


def _applies(bug: bugs.Bug, symptom: bugs.Symptom, installed: Mapping[str, str]) -> str:
    if bug.hits(installed, symptom.id):
        return "yes"
    if bug.hits(installed):
        return "otherwise"
    return "unknown" if missing(symptom.where, installed) else "no"


def missing(where: bugs.Where, installed: Mapping[str, str]) -> list[str]:
    """Return the packages that are not installed, of alternatives that nothing installed denies."""
    possible = [
        alternative
        for alternative in where
        if all(
            package not in installed or versions.contains(installed[package], prereleases=True)
            for package, versions in alternative.items()
        )
    ]
    return sorted({each for alternative in possible for each in alternative} - installed.keys())
