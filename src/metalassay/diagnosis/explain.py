"""Explain a traceback or a log line: the known bug, its cause, and the fixes for these versions."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay import bugs
from metalassay.bugs import matching, tracebacks
from metalassay.errors import UserError


@dataclass(frozen=True)
class Explanation:
    """One known bug that fits; ``applies`` is one of ``matching.APPLIES``, ``note`` the reason."""

    bug: str
    title: str
    link: str
    affected: str
    applies: str
    note: str
    evidence: matching.Evidence
    cause: str
    fixes: tuple[str, ...]
    not_fixes: tuple[str, ...]
    reported_only: bool = False


@dataclass(frozen=True)
class Answer:
    """The exceptions in a text, the last one first, and its explanations, the likeliest first."""

    versions: Mapping[str, str]
    exceptions: tuple[str, ...]
    explanations: tuple[Explanation, ...]


def explain(text: str, installed: Mapping[str, str]) -> Answer:
    """Find the known bugs in a message, a traceback or a log; never fails, whatever the text.

    ``installed`` maps package names to versions; nothing is assumed about a package that it lacks.
    """
    text = tracebacks.clean(text)
    return Answer(
        versions=dict(installed),
        exceptions=tracebacks.exceptions(text),
        explanations=tuple(
            _explanation(hit, installed) for hit in matching.recognise(text, installed)
        ),
    )


def parse_versions(text: str) -> dict[str, str]:
    """Parse a list such as ``accelerate=1.8.0,torch=2.5.1``. Raises ``UserError`` if it is malformed."""
    versions: dict[str, str] = {}
    for item in text.split(","):
        package, _, version = item.partition("=")
        version = version.removeprefix("=").strip()
        try:
            Version(version)
            versions[canonicalize_name(package.strip(), validate=True)] = version
        except ValueError:
            raise UserError(
                f"--versions: {item.strip()!r} is not PACKAGE=VERSION",
                "metalassay explain --versions accelerate=1.8.0,torch=2.5.1 TEXT",
            ) from None
    return versions


def as_text(answer: Answer, width: int = 80, most: int | None = 3) -> str:
    """Format an answer for a terminal of ``width`` columns, with at most ``most`` bugs (None: all)."""
    if not answer.explanations:
        last = f"; its last exception is {answer.exceptions[0]}" if answer.exceptions else ""
        advice = (
            "metalassay doctor lists the known bugs that apply here; if none fits, and the error is"
            " not in your own code, report it to the library named last in the traceback"
        )
        return "\n".join(
            [f"no known bug explains this text{last}", *_wrap(advice, width, "  next: ", " " * 8)]
        )
    lines = []
    for number, explanation in enumerate(answer.explanations[:most], 1):
        lines += _wrap(explanation.title, width, f"{number}. ", "   ")
        lines.append(f"   {explanation.link} [{explanation.bug}]")
        lines += _field("found", explanation.evidence.words, width)
        if explanation.evidence.generic:
            lines += _field(
                "but",
                "other mistakes cause this message too; it is this bug only if the cause below "
                "fits your program",
                width,
            )
        if explanation.evidence.cut:
            lines += _field("but", "the text is cut off there", width)
        if explanation.reported_only:
            lines += _field(
                "but", f"{bugs.REPORTED_ONLY}: versions and message come from the report", width
            )
        lines += _field("affected", explanation.affected, width)
        lines += _field("installed", explanation.note, width)
        lines += _field("cause", explanation.cause, width)
        for step, fix in enumerate(explanation.fixes, 1):
            lines += _field("fixes" if step == 1 else "", fix, width, f"{step}. ")
        for step, text in enumerate(explanation.not_fixes, 1):
            lines += _field("not a fix" if step == 1 else "", text, width, "- ")
        lines.append("")
    more = len(answer.explanations) - len(answer.explanations[:most])
    return "\n".join(lines) + (f"{more} more known bugs fit: --all" if more else "").rstrip()


def known() -> list[dict[str, Any]]:
    """Return every known bug with its id, affected versions, title and the text of each symptom."""
    return [
        {
            "bug": bug.id,
            "affected": bug.where_text(),
            "title": bug.title,
            "reported_only": bug.reported_only,
            "symptoms": [_symptom_text(symptom) for symptom in bug.symptoms],
        }
        for bug in bugs.load()
    ]


def known_as_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Format what ``known`` returns: one line per bug, and below it one line per symptom."""
    return "\n".join(
        f"{row['bug']}  ({row['affected']})  {row['title']}\n"
        + "\n".join(f"    {symptom}" for symptom in row["symptoms"])
        for row in rows
    )


def _symptom_text(symptom: bugs.Symptom) -> str:
    text = " | ".join(
        f"{raises}: {pattern}" if raises else pattern
        for pattern, raises in matching.patterns(symptom)
    )
    return re.sub(r"\\(\W)", r"\1", text) or "(silent)"  # without the escapes of a pattern


def _explanation(hit: matching.Hit, installed: Mapping[str, str]) -> Explanation:
    bug, where = hit.bug, hit.bug.symptom(hit.evidence.symptom).where
    deciding = sorted({package for alternative in where for package in alternative})
    have = ", ".join(f"{name} {installed[name]}" for name in deciding if name in installed)
    lacking = ", ".join(matching.missing(where, installed))
    elsewhere = "the text comes from another environment, or from before a change of versions"
    notes = {
        "yes": f"{have}: affected",
        "otherwise": f"{have}: affected, but with another message; {elsewhere}",
        "unknown": f"{have}{'; ' if have else ''}{lacking} not found, so it is unknown whether the "
        "bug applies; specify the environment: --python EXE or --versions PACKAGE=VERSION",
        "no": f"{have}: not affected by this; {elsewhere}",
    }
    # Fixes that are installed already come last, unless they are why the bug does not apply.
    done = [fix for fix in bug.fixes if hit.applies != "no" and _is_installed(fix, installed)]
    return Explanation(
        bug=bug.id,
        title=bug.title,
        link=bug.link,
        affected=bug.where_text(),
        applies=hit.applies,
        note=notes[hit.applies],
        evidence=hit.evidence,
        cause=bug.cause,
        fixes=(
            *(str(fix) for fix in bug.fixes if fix not in done),
            *(f"{fix} [installed already]" for fix in done),
        ),
        not_fixes=bug.not_fixes,
        reported_only=bug.reported_only,
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


def _field(name: str, text: str, width: int, bullet: str = "") -> list[str]:
    indent = " " * (14 + len(bullet))
    return _wrap(text, width, f"   {name:<10} {bullet}", indent)


def _wrap(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
