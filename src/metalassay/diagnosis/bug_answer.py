"""Find the known bugs whose symptoms appear in a text, with their fixes for these versions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from metalassay import bugs, language
from metalassay.bugs import matching
from metalassay.diagnosis.answers import Found

_ELSEWHERE = "the text comes from another environment, or from before a change of versions"


_NOTES = {
    "yes": "{have}: affected ({affected})",
    "otherwise": "{have}: affected ({affected}), but with another message; {elsewhere}",
    "no": "{have}: not affected by this ({affected}); {elsewhere}",
    "unknown": "{and_have}{lacking} not found, so it is unknown whether the bug applies ({affected}); "
    "specify the environment: --python EXE or --versions PACKAGE=VERSION",
}
"""By whether the bug applies; also the keys of their translations."""


def find(text: str, installed: Mapping[str, str]) -> tuple[Found, ...]:
    """Return one answer for each known bug in a text, the best first; never fails.

    ``text`` comes from ``tracebacks.clean``. ``installed`` maps package names to versions; nothing
    is assumed about a package that it lacks.
    """
    return tuple(_found(hit, installed) for hit in matching.recognise(text, installed))


def _found(hit: matching.Hit, installed: Mapping[str, str]) -> Found:
    bug, evidence = hit.bug, hit.evidence
    # Fixes that are installed already come last, unless they are why the bug does not apply.
    fixes = _best_first(bug.fixes, evidence.words)
    done = [fix for fix in fixes if hit.applies != "no" and _is_installed(fix, installed)]
    installed_already = _label("installed already")
    sure = (
        f"{bugs.REPORTED_ONLY}: versions and message come from the report"
        if bug.reported_only
        else "executed by us: a test fails with these and passes with others"
    )
    return Found(
        source="bug",
        id=bug.id,
        title=_say(bug, bug.title),
        applies=hit.applies,
        note=_note(hit, installed),
        words=evidence.words + (" (the text is cut off there)" if evidence.cut else ""),
        position=hit.position,
        cause=_say(bug, " ".join(bug.cause.split())),
        do=(
            *(_fix(bug, fix) for fix in fixes if fix not in done),
            *(f"{_fix(bug, fix)} [{installed_already}]" for fix in done),
        ),
        not_help=tuple(_say(bug, text) for text in bug.not_fixes),
        link=bug.link,
        sure=sure,
        generic=evidence.generic,
    )


def _say(bug: bugs.Bug, text: str) -> str:
    return language.say(bugs.__name__, bug.id, text)


def _label(text: str) -> str:
    return language.label(bugs.__name__, text)


def _fix(bug: bugs.Bug, fix: bugs.Fix) -> str:
    return str(replace(fix, text=_say(bug, fix.text)))


def _best_first(fixes: Iterable[bugs.Fix], words: str) -> list[bugs.Fix]:
    """Return the fixes, first those about the argument or name that the message quotes."""
    quoted = set(re.findall(r"['\"`](\w+)['\"`]", words))
    return sorted(fixes, key=lambda fix: not quoted & set(re.findall(r"\w+", fix.text)))


def _note(hit: matching.Hit, installed: Mapping[str, str]) -> str:
    where = hit.bug.symptom(hit.evidence.symptom).where
    deciding = sorted({package for alternative in where for package in alternative})
    have = ", ".join(f"{name} {installed[name]}" for name in deciding if name in installed)
    affected = bugs.where_text(where)
    if hit.applies == "otherwise":
        affected = hit.bug.where_text()
    return _label(_NOTES[hit.applies]).format(
        have=have,
        and_have=f"{have}; " if have else "",
        affected=affected,
        lacking=", ".join(matching.missing(where, installed)),
        elsewhere=_label(_ELSEWHERE),
    )


def _is_installed(fix: bugs.Fix, installed: Mapping[str, str]) -> bool:
    """Return whether everything that a fix would install is already there."""
    requirements = fix.requirements()
    return bool(requirements) and all(
        requirement.specifier
        and requirement.name in installed
        and requirement.specifier.contains(installed[requirement.name], prereleases=True)
        for requirement in requirements
    )
