"""Find the limits and mistakes whose words appear in a text, with the advice for these versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from metalassay import bugs, language, pep440
from metalassay.bugs import limits, tracebacks
from metalassay.bugs.matching import APPLIES
from metalassay.diagnosis import limit_numbers
from metalassay.diagnosis.answers import Found

_PLACE = re.compile(r"\{([a-z_]+)\}")
_OPTIONAL = re.compile(r"\[\[([^\[\]]+)\]\]")


_NOTES = {
    "no": "{have}: these versions do not print this; the text comes from another environment",
    "any": "does not depend on versions",
    "lacking": "{and_have}{lacking} not found, so the advice is for all versions; "
    "specify the environment: --python EXE or --versions PACKAGE=VERSION",
    "have": "advice for {have}",
}
"""What is said of the versions; also the keys of their translations."""


def find(text: str, installed: Mapping[str, str]) -> tuple[Found, ...]:
    """Return one answer for each limit or mistake in a text, the best first; never fails.

    ``text`` comes from ``tracebacks.clean``. ``installed`` maps package names to versions; nothing
    is assumed about a package that it lacks. What applies comes first, then what is specific, then
    what comes last in the text. A limit that names a known bug is left out where that bug applies.
    """
    words = limits.words_of(text)
    found = [
        _found(limit, match, text, installed)
        for limit in limits.load()
        if not (limit.bug and bugs.get(limit.bug).hits(_readable(installed)))
        for match in _last(limit, text, words)
    ]
    return tuple(
        sorted(found, key=lambda one: (APPLIES.index(one.applies), one.generic, -one.position))
    )


def _last(limit: limits.Limit, text: str, words: str) -> Iterable[re.Match[str]]:
    """Yield the last match that is not inside a source line, if there is one."""
    for match in limit.matches(text, words):
        if not tracebacks.is_source(text, match.start()):
            yield match
            return


def _found(
    limit: limits.Limit, match: re.Match[str], text: str, installed: Mapping[str, str]
) -> Found:
    values = {name: " ".join(value.split()) for name, value in match.groupdict().items() if value}
    if limit.numbers:
        values |= limit_numbers.CALCULATIONS[limit.numbers](values)
    case = _case(limit, values, installed)
    fits = limits.fits(limit.where, installed)
    applies = {True: "yes", None: "unknown", False: "no"}[fits]
    return Found(
        source="limit",
        id=limit.id,
        title=_filled(_say(limit, case.title or limit.title), values),
        applies=applies,
        note=_note(limit, case, applies, installed),
        words=tracebacks.shorten(tracebacks.line_at(text, match.start(), match.end())),
        position=match.start(),
        cause=_filled(_say(limit, case.cause or limit.cause), values),
        do=_steps(limit.do if case.do is None else case.do, limit, values),
        not_help=_steps(limit.not_help if case.not_help is None else case.not_help, limit, values),
        link=limit.link,
        sure=_say(limit, case.sure or limit.sure),
        generic=limit.generic,
    )


_ROW = limits.Case((), {}, None, None, None, None, None)


def _case(
    limit: limits.Limit, values: Mapping[str, str], installed: Mapping[str, str]
) -> limits.Case:
    """Return the first case that certainly fits the message and the versions, or the row itself."""
    for case in limit.cases:
        said = all(
            name in values and re.fullmatch(pattern, values[name])
            for name, pattern in case.when.items()
        )
        if said and limits.fits(case.where, installed):
            return case
    return _ROW


def _note(
    limit: limits.Limit, case: limits.Case, applies: str, installed: Mapping[str, str]
) -> str:
    have = ", ".join(f"{name} {installed[name]}" for name in limit.packages if name in installed)
    lacking = ", ".join(name for name in limit.packages if name not in installed)
    if applies == "no":
        note = "no"
    elif not limit.packages:
        note = "any"
    elif lacking and case is _ROW:
        note = "lacking"
    else:
        note = "have" if have else "any"
    and_have = f"{have}; " if have else ""
    text = language.label(bugs.__name__, _NOTES[note])
    return text.format(have=have, and_have=and_have, lacking=lacking)


def _say(limit: limits.Limit, text: str) -> str:
    return language.say(bugs.__name__, limit.id, text)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put the values into a text; a part in double brackets is left out where one of its values is unknown.

    Braces around any other word stay.
    """

    def optional(part: re.Match[str]) -> str:
        return part[1] if all(place[1] in values for place in _PLACE.finditer(part[1])) else ""

    return _PLACE.sub(lambda place: values.get(place[1], place[0]), _OPTIONAL.sub(optional, text))


def _steps(texts: Iterable[str], limit: limits.Limit, values: Mapping[str, str]) -> tuple[str, ...]:
    """Fill in the steps, without those that need a value that the message lacks."""
    return tuple(
        _filled(_say(limit, text), values)
        for text in texts
        if not {place[1] for place in _PLACE.finditer(text)} & (limit.values - values.keys())
    )


def _readable(installed: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in installed.items() if pep440.is_version(version)}
