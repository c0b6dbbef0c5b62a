"""What a traceback or a log line means: the bug, its cause, and the fixes for these versions."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay.bugs import catalogue as bugs
from metalassay.bugs import matching, tracebacks
from metalassay.errors import UserError

_NOT_A_FIX = "not a fix: "


@dataclass(frozen=True)
class Explanation:
    """One known bug that fits; ``applies`` is a word of ``APPLIES`` and ``note`` the reason."""

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
    """``exceptions`` of the text, the last first, and what explains it, the likeliest first."""

    versions: Mapping[str, str]
    exceptions: tuple[str, ...]
    explanations: tuple[Explanation, ...]


def explain(text: str, installed: Mapping[str, str]) -> Answer:
    """Find the known bugs in a message, a traceback or a log; every text has an answer.

    ``installed`` maps package names to versions; of a package that it lacks nothing is known.
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
    """Read ``accelerate=1.8.0,torch=2.5.1``. Raises ``UserError`` for what is no such list."""
    found: dict[str, str] = {}
    for item in text.split(","):
        package, _, version = item.partition("=")
        version = version.removeprefix("=").strip()
        try:
            Version(version)
            found[canonicalize_name(package.strip(), validate=True)] = version
        except ValueError:
            raise UserError(
                f"--versions: {item.strip()!r} is not PACKAGE=VERSION",
                "write it as in: metalassay explain --versions accelerate=1.8.0,torch=2.5.1 TEXT",
            ) from None
    return found


def as_text(answer: Answer, width: int = 80, most: int | None = 3) -> str:
    """Lay an answer out for a terminal of ``width`` columns; at most ``most`` bugs, None: all."""
    if not answer.explanations:
        last = answer.exceptions[:1]
        return (
            f"No known bug explains this text{f'; it ends in {last[0]}' if last else ''}\n"
            "  next: metalassay doctor says which known bugs apply here; if none does, report it "
            "to the library whose file the traceback names last"
        )
    lines = []
    for number, each in enumerate(answer.explanations[:most], 1):
        lines += [f"{number}. {each.title}  [{each.bug}]", f"   {each.link}"]
        lines += _field("found", each.evidence.words, width)
        if each.evidence.everyday:
            lines += _field(
                "but",
                "other mistakes give these words too: it is this bug only if the cause below is "
                "what happens to you",
                width,
            )
        if each.evidence.cut:
            lines += _field("but", "the text is cut off there", width)
        if each.reported_only:
            lines += _field("but", f"{bugs.REPORTED_ONLY}: range and words are the report's", width)
        lines += _field("affected", each.affected, width)
        lines += _field("installed", each.note, width)
        lines += _field("cause", each.cause, width)
        for step, fix in enumerate(each.fixes, 1):
            lines += _field("fixes" if step == 1 else "", fix, width, f"{step}. ")
        for step, fix in enumerate(each.not_fixes, 1):
            lines += _field("no fix" if step == 1 else "", fix, width, "- ")
        lines.append("")
    more = len(answer.explanations) - len(answer.explanations[:most])
    return "\n".join(lines) + (f"{more} more known bugs fit: --all" if more else "").rstrip()


def known() -> list[dict[str, Any]]:
    """Return every known bug with its id, affected versions, title and what each symptom says."""
    return [
        {
            "bug": bug.id,
            "affected": bug.where_text(),
            "title": bug.title,
            "reported_only": bug.reported_only,
            "symptoms": [_said(symptom) for symptom in bug.symptoms],
        }
        for bug in bugs.load()
    ]


def known_as_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Lay out what ``known`` returns: one line a bug, and under it one line a symptom."""
    return "\n".join(
        f"{row['bug']}  ({row['affected']})  {row['title']}\n"
        + "\n".join(f"    {words}" for words in row["symptoms"])
        for row in rows
    )


def _said(symptom: bugs.Symptom) -> str:
    said = " | ".join(
        f"{raises}: {pattern}" if raises else pattern
        for pattern, raises in matching.patterns(symptom)
    )
    return re.sub(r"\\(\W)", r"\1", said) or "(silent)"  # escapes are for machines


def _explanation(hit: matching.Hit, installed: Mapping[str, str]) -> Explanation:
    bug, where = hit.bug, hit.bug.symptom(hit.evidence.symptom).where
    deciding = sorted({package for alternative in where for package in alternative})
    have = ", ".join(f"{each} {installed[each]}" for each in deciding if each in installed)
    lacking = ", ".join(matching.missing(where, installed))
    elsewhere = "the text comes from another environment, or from before a change of versions"
    notes = {
        "yes": f"{have}: affected",
        "otherwise": f"{have}: affected, but not in these words; {elsewhere}",
        "unknown": f"{have}{'; ' if have else ''}{lacking} not found, so it is unknown whether it "
        "applies; name the environment: --python EXE, or --versions PACKAGE=VERSION",
        "no": f"{have}: not affected by this; {elsewhere}",
    }
    fixes = [fix for fix in bug.fixes if not fix.startswith(_NOT_A_FIX)]
    # What was done already comes last, unless it is why the bug is gone.
    done = [fix for fix in fixes if hit.applies != "no" and _is_installed(fix, installed)]
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
            *(fix for fix in fixes if fix not in done),
            *(f"{fix} [installed already]" for fix in done),
        ),
        not_fixes=tuple(
            fix.removeprefix(_NOT_A_FIX) for fix in bug.fixes if fix.startswith(_NOT_A_FIX)
        ),
        reported_only=bug.reported_only,
    )


def _is_installed(fix: str, installed: Mapping[str, str]) -> bool:
    """Say whether all that a fix's ``pip install`` asks for is there already."""
    asked = []
    for quoted in re.findall(r"'([^']+)'", fix.partition("pip install ")[2]):
        try:
            asked.append(Requirement(quoted))
        except InvalidRequirement:
            continue  # a quoted word that is no package
    return bool(asked) and all(
        each.specifier
        and each.name in installed
        and each.specifier.contains(installed[each.name], prereleases=True)
        for each in asked
    )


def _field(name: str, text: str, width: int, bullet: str = "") -> list[str]:
    indent = " " * 14
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"   {name:<10} {bullet}",
        subsequent_indent=indent + " " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
