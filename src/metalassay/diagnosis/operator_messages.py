"""Find what torch says about operators and dtypes in a text, however a terminal or a web page broke it.

The parts around a few words are compared without spaces, quotes and the prefixes of loggers, so that
hard wraps and lost quotes do not matter. The time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from metalassay.mps.operators import advice, releases

MISSING, FALLBACK, BACKEND, DTYPE, OLD_MACOS = (
    "missing",
    "fallback",
    "backend",
    "dtype",
    "old macos",
)


def _packed(pattern: str) -> re.Pattern[str]:
    """Return a pattern for text without spaces; those in the pattern are for the reader."""
    return re.compile(pattern.replace(" ", ""))


_BEFORE = 600  # how far before a word the message that contains it may begin
_MOST = 40  # mentions that are returned
_MOST_PLACES = 50_000  # places of one word that are looked at, from the end
_MOST_PIECES = 3_000  # different pieces of text that are compared, from the end
_AFTER = 900  # how far after the operator its message may name a commit
_LOGGER = re.compile(
    r"\n[ \t]{0,80}(?:(?:\[[\w:.,/ -]{1,40}\]:?|std(?:err|out):|[>|#│❱]|//)[ \t]{0,8}){1,4}"
)
_QUOTE = re.compile(r"&(?:#0?39|#x27|#34|#96|quot|apos|[lr][sd]quo);|[\"`‘’“”]")  # noqa: RUF001
_DROPPED = re.compile(r"[\s*\\]+")
_NAMESPACE = re.compile(r"(?:\w*operator)?([A-Za-z_]\w{0,60}?)\Z")
_OPERATOR = _packed(
    r"::([A-Za-z_][\w.]{0,150}?)[',.:]{0,4} (?:op|operator)? (?:is)? not (?:yet)? (?:currently|current)?"
    r" (implemented|supported) (?:for the|on the|for|on|by the|by)? MPS"
)
_COULD_NOT = _packed(
    r"Could not run '{0,4}([A-Za-z_]\w{0,60})::([A-Za-z_][\w.]{0,150}?)'{0,4} with arguments from the"
    r" '{0,4}(\w{2,40}?)'{0,4} backend"
)
_BACKENDS = _packed(r"available for these backends: \[([\w,]{1,3000})")
_DTYPES = (
    "BFloat16|Bool|Byte|Char|Complex(?:Half|Float|Double)|Double|Float(?:8_\\w{1,12}|4_\\w{1,12})?"
    "|Half|Int|Long|Short|UInt(?:16|32|64)"
)
_REFUSED = _packed(
    rf"(?:'|[:(>]|\A)([A-Za-z_][\w.]{{1,80}}?)('{{0,4}}) not implemented for '{{0,4}}({_DTYPES})(?![a-z])"
)
_NATIVELY = _packed(
    r"MPS: (\w{2,40}?) op is supported natively starting from [Mm]acOS (\d{2}\.\d)"
    r"|torch\.([\w.]{2,40}?) (?:support for k>16|supported|is supported) by MPS on MacOS (\d{2})\+"
)
_COMMIT = re.compile(r"commit(?:hash|sha|id)?'{0,3}[:=]?'{0,3}([0-9a-f]{7,40})(?![0-9a-z])", re.I)


@dataclass(frozen=True)
class Mention:
    """One thing that torch says, where it says it last.

    ``kind`` is ``MISSING`` (no kernel: an error), ``FALLBACK`` (it ran on the CPU: a warning),
    ``BACKEND`` (could not run on ``detail``, a backend), ``DTYPE`` (``name`` is a kernel that refuses
    ``detail``), or ``OLD_MACOS`` (it ran on the CPU because macOS is older than ``detail``).
    ``namespace`` is ``aten`` or that of another library. ``commit`` is the commit that the message
    names. ``wordings`` are the keys of ``releases.wordings`` that it contains. ``backends`` are those
    for which the message says that the operator is available. ``start`` and ``end`` are offsets.
    """

    kind: str
    namespace: str
    name: str
    detail: str
    start: int
    end: int
    commit: str | None = None
    wordings: tuple[str, ...] = ()
    backends: frozenset[str] = frozenset()


def mentions(text: str) -> tuple[Mention, ...]:
    """Return what torch says about operators and dtypes, each once, the last in the text first.

    Of very many different ones only the last few thousand are found.
    """
    last: dict[tuple[str, str, str, str], Mention] = {}
    for finder in (_missing, _could_not_run, _refused, _natively):
        for mention in finder(text):
            key = mention.kind, mention.namespace, mention.name, mention.detail
            # A message says MPS more than once; the first time ends the words.
            if key not in last or last[key].start == mention.start:
                last[key] = mention
    latest = sorted(last.values(), key=lambda mention: -mention.start)[:_MOST]
    return tuple(_with_rest(mention, text) for mention in latest)


def _missing(text: str) -> Iterator[Mention]:
    known: set[str] = set()
    for at in _places(text, "MPS"):
        if text[at - 1 : at].isalnum() or text[at + 3 : at + 4].isalnum():
            continue
        begin = max(0, at - _BEFORE)
        colons = max(text.rfind("::", begin, at), text.rfind(":\n:", begin, at))
        if colons < 0:
            continue
        start = max(0, colons - 60)
        piece = text[start : at + 3]
        if piece in known:
            continue
        known.add(piece)
        if len(known) > _MOST_PIECES:
            return
        if parsed := _parse_missing(piece):
            kind, namespace, name = parsed
            yield Mention(kind, namespace, name, "", max(0, colons - len(namespace)), at + 3)


def _parse_missing(piece: str) -> tuple[str, str, str] | None:
    """Return kind, namespace and name from a piece of text that ends in MPS."""
    squeezed = squeeze(piece)
    colons = squeezed.rfind("::")
    operator = _OPERATOR.match(squeezed, colons) if colons >= 0 else None
    namespace = _NAMESPACE.search(squeezed, max(0, colons - 60), colons) if operator else None
    if operator is None or namespace is None:
        return None
    theirs = "current" in operator[0] or advice.for_library(namespace[1], operator[1]) is not None
    if namespace[1] != "aten" and not theirs:
        return None  # C++ names in prose
    kind = MISSING if operator[2] == "implemented" else FALLBACK
    return kind, namespace[1], operator[1].rstrip(".")


def _could_not_run(text: str) -> Iterator[Mention]:
    known: set[str] = set()
    for at in _places(text, "Could"):
        piece = text[at : at + _BEFORE]
        if piece in known:
            continue
        known.add(piece)
        if len(known) > _MOST_PIECES:
            return
        if match := _COULD_NOT.match(squeeze(piece)):
            end = text.find("backend", at, at + _BEFORE)
            yield Mention(BACKEND, match[1], match[2], match[3], at, max(end, at + 1))


def _refused(text: str) -> Iterator[Mention]:
    known: set[str] = set()
    for at in _places(text, "implemented"):
        if not text[max(0, at - 12) : at].rstrip().endswith("not"):
            continue
        after = text[at + 11 : at + 60]
        if not after.lstrip().startswith("for"):
            continue
        start = max(0, at - 120)
        piece = text[start : at + 60]
        if piece in known:
            continue
        known.add(piece)
        if len(known) > _MOST_PIECES:
            return
        match = _REFUSED.search(squeeze(piece))
        if match and (match[2] or "_" in match[1]):
            name = match[1].rpartition("Error:")[2]
            first = text.rfind(name[:4], start, at)
            yield Mention(DTYPE, "", name, match[3], first if first >= 0 else at, at + 11)


def _natively(text: str) -> Iterator[Mention]:
    for word in ("natively", "by MPS on"):
        for at in islice(_places(text, word), _MOST_PIECES):
            start = max(0, at - 120)
            match = _NATIVELY.search(squeeze(text[start : at + 60]))
            if match:
                name, macos = (match[1], match[2]) if match[1] else (match[3], f"{match[4]}.0")
                begin = text.rfind(name, start, at)
                yield Mention(OLD_MACOS, "aten", name, macos, begin if begin >= 0 else at, at + 8)


def _with_rest(mention: Mention, text: str) -> Mention:
    """Return the mention with what its message says after the words that were found."""
    if mention.kind not in (MISSING, BACKEND):
        return mention
    head = squeeze(text[max(0, mention.start - 60) : mention.start])
    rest = squeeze(
        text[mention.start : mention.end + (6_000 if mention.kind == BACKEND else _AFTER)]
    )
    if mention.kind == BACKEND:
        backends = _BACKENDS.search(rest)
        return replace(mention, backends=frozenset(backends[1].split(",") if backends else ()))
    begin = rest.find("not")
    following = rest.find("notcurrent", begin + 3)  # the next message
    if following >= 0:
        rest = rest[:following]
    commit = _COMMIT.search(rest)
    return replace(
        mention,
        commit=commit[1].lower() if commit else None,
        wordings=tuple(words for words in releases.wordings() if words in head + rest),
    )


def squeeze(text: str) -> str:
    """Return a short text without white space, prefixes of loggers and escapes, with ' for all quotes."""
    text = _LOGGER.sub("", text) if "\n" in text else text
    return _DROPPED.sub("", _QUOTE.sub("'", text))


def _places(text: str, word: str) -> Iterator[int]:
    """Yield where a word is, the last place first."""
    at = text.rfind(word)
    for _ in range(_MOST_PLACES):
        if at < 0:
            return
        yield at
        at = text.rfind(word, 0, at)
