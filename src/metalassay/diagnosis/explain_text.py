"""Write an answer of ``explain`` for a terminal: the first one in at most about a dozen lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from metalassay import bugs, language
from metalassay.diagnosis.explain import Answer, Explanation
from metalassay.diagnosis.unrecognised import Recognised, Similar

_FIRST, _LATER = 13, 6  # lines of the first answer, and of one after it
_ROLES = {
    "cause": "the exception from which the last one was raised",
    "context": "an exception that was being handled when the last one was raised; not the last one",
    "rank": "another rank, which failed later",
    "earlier": "an earlier exception, after which the program went on; not what ended it",
    "after": "after the end of the program; not what ended it",
    "warning": "a warning, not what ended the program",
    "line": "another line of the log, not what ended the program",
}
_GENERIC = "other mistakes cause this message too"
_CATALOGUED = ("bug", "limit")
"""The sources whose texts are rows of data; those of the others are put together, and in English only."""
_LABEL = 9  # columns for the names of the fields


def as_text(answer: Answer, width: int = 80, most: int | None = 3) -> str:
    """Format an answer for ``width`` columns, with at most ``most`` explanations (None: all, in full)."""
    lines: list[str] = []
    ended = answer.ended
    if answer.recognised:
        lines += _recognised(answer.recognised, answer, width)
        if answer.explanations:
            lines += ["", *_wrap(_also(answer), width, "", "")]
    shown = answer.explanations if most is None else _worth_showing(answer)[:most]
    for number, each in enumerate(shown, 1):
        if lines:
            lines.append("")
        leads = number == 1 and answer.explained
        room = None if most is None else _FIRST if leads else _LATER
        lines += _explanation(each, number, width, room, ended)
    for note in answer.notes:
        lines += ["", *_wrap(note, width, "versions: ", " " * 10)]
    if (more := len(answer.explanations) - len(shown)) > 0:
        lines += ["", f"{more} {_say('more fits: --all' if more == 1 else 'more fit: --all')}"]
    if note := language.note():
        lines += ["", *_wrap(note, width, "", "")]
    return "\n".join(lines)


def _worth_showing(answer: Answer) -> list[Explanation]:
    """Return the explanations, of the same words only the first one if it is certain."""
    first, *others = answer.explanations or (None,)
    if first is None:
        return []
    certain = first.explains and first.found.applies == "yes" and not first.found.generic
    return [first, *(each for each in others if not certain or each.exception != first.exception)]


def known_as_text(rows: Iterable[Mapping[str, Any]], width: int = 80) -> str:
    """Format what ``explain.known`` returns: for each row its id, title, versions and messages."""
    lines: list[str] = []
    for row in rows:
        lines.append(row["id"])
        lines += _wrap(row["title"], width, "  ", "  ")
        if row["affected"]:
            lines += _wrap(f"({row['affected']})", width, "  ", "  ")
        lines += [f"    {_cut(message, width - 4)}" for message in row["messages"]]
    return "\n".join(lines)


def _also(answer: Answer) -> str:
    if all(each.found.applies == "no" for each in answer.explanations):
        return "known in other versions, not in these:"
    return "known, but not what ended the program:" if answer.ended else "possibly:"


def _explanation(
    each: Explanation, number: int, width: int, room: int | None, ended: str | None
) -> list[str]:
    """Return the lines of one explanation: all, or the most useful ones in about ``room`` lines."""
    if room is None:
        return _lines(each, number, width, ended, {})
    if room == _LATER:
        return _lines(each, number, width, ended, {"do": 2, "here": 2, "is": 1})
    most = {"is": 1, "do": 3, "or": 2, "why": 3, "found": 1, "here": 2, "sure": 2}
    lines = _lines(each, number, width, ended, most)
    for name, fewer in _SHORTER:
        if len(lines) <= room:
            break
        most[name] = fewer
        lines = _lines(each, number, width, ended, most)
    return lines


# What is shortened, one after the other, until an answer fits.
_SHORTER = (("why", 2), ("sure", 1), ("here", 1), ("or", 0), ("do", 2), ("why", 1))


def _lines(
    each: Explanation, number: int, width: int, ended: str | None, most: Mapping[str, int]
) -> list[str]:
    """Return an explanation's lines, with at most so many of each field; {}: all of them."""
    found = each.found
    if found.source not in _CATALOGUED:
        language.miss(found.title)
    fields = [("is", _say(_ROLES[each.role]))] if ended and each.role in _ROLES else []
    others = [
        ("or", text.removeprefix("or: ").removeprefix("or ").removeprefix("或者"))
        for text in found.do[1:]
    ]
    hidden = max(0, len(others) - 1 + len(found.not_help)) if most else 0
    if most and not most.get("or"):
        hidden += bool(others)
    fields += [("do", text) for text in found.do[:1]] + (others[:1] if most else others)
    fields += [] if most else [("not", text) for text in found.not_help]
    fields += [("why", found.cause), ("found", found.words), ("here", found.note)]
    fields += [
        ("sure", f"{_say(_GENERIC)}; {_say(found.sure)}" if found.generic else _say(found.sure))
    ]
    lines = _wrap(f"{found.title} [{found.id}]", width, f"{number}. ", "   ")
    for name, text in fields:
        if not most or most.get(name):
            lines += _field(name, text, width, most.get(name))
    lines.append(f"   {language.pad(_say('link'), _LABEL)}{found.link}")
    if hidden and "why" in most:
        more = _say("more to do or to avoid: --all")
        lines.append(f"   {language.pad(_say('more'), _LABEL)}{hidden} {more}")
    return lines


def _recognised(known: Recognised, answer: Answer, width: int) -> list[str]:
    lines = _wrap(
        f"not explained: {known.exception}" if known.exception else "nothing known is in this text",
        width,
        "",
        "  ",
    )[:4]
    if answer.rank is not None:
        lines += _field("rank", f"{answer.rank}, which failed first", width)
    if known.place:
        whose = "your own file" if known.own_file else f"a file of {known.package or 'Python'}"
        lines += _field("raised in", f"{known.place}, {whose}", width)
    about = [
        f"{known.package} {known.version}" if known.package and known.version else known.package,
        f"{known.function}()" if known.function and known.function[0] != "<" else None,
        f"device {known.device}" if known.device else None,
        f"dtype {known.dtype}" if known.dtype else None,
    ]
    if named := [each for each in about if each]:
        lines += _field("names", ", ".join(named), width)
    for similar in known.similar:
        lines += _field("similar", f"{similar.title} [{similar.id}]", width, most=2)
        lines += _field("", _difference(similar), width, most=3)
    lines += _field("next", known.next, width)
    return lines


def _difference(similar: Similar) -> str:
    if not similar.missing:
        return "the same message, but other code prints it too: it is this only if the traceback has a line of that library"
    gone = ", ".join(similar.missing[:6])
    return f"but that one says: {_cut(similar.says, 100)} (not here: {gone})"


def _field(name: str, text: str, width: int, most: int | None = None) -> list[str]:
    name = _say(name)
    first, later = f"   {language.pad(name, _LABEL)}", " " * (3 + _LABEL)
    if language.columns(name) >= _LABEL:
        first = f"   {name} "
    lines = _wrap(text, width, first, later)
    if most is not None and len(lines) > most:
        last = lines[most - 1][: width - 2].rstrip(" .,;:")
        lines = [*lines[: most - 1], f"{last} …"]
    return lines


def _cut(text: str, most: int) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _wrap(text: str, width: int, first: str, later: str) -> list[str]:
    if language.current() != language.ENGLISH:
        return language.wrap(text, max(width, 40), first, later)
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _say(text: str) -> str:
    return language.label(bugs.__name__, text)
