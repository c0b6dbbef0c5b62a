"""Format a diagnosis for a terminal: one screen that begins with the answer, or everything."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.diagnosis import fix_plan, train_verdict
from metalassay.diagnosis.doctor import Diagnosis
from metalassay.diagnosis.findings import BUG, MPS, VARIABLE, Finding
from metalassay.environment import executed, managers

SCREEN = 24
"""The lines of a summary, at most."""

_INDENT = " " * 9
_LABEL = 10
_MAIN = (*executed.EXACT, "torch", "huggingface-hub", "numpy")
"""The packages whose versions a summary shows."""


@dataclass(frozen=True)
class _Page:
    """What a page shows; the fields are the parameters of ``as_text``."""

    diagnosis: Diagnosis
    machine: str
    python: str
    width: int
    command: Sequence[str]
    notes: Sequence[str]
    file: str


def as_text(
    diagnosis: Diagnosis,
    machine: str,
    *,
    python: str = "",
    width: int = 100,
    everything: bool = False,
    command: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    file: str = "",
) -> str:
    """Format a diagnosis in lines of at most ``width`` columns.

    ``machine`` and ``python`` are shown below the answer; ``file`` asks for these versions, where they
    are not installed. ``command`` fixes what can be fixed (None: pip's), and ``notes`` come last. A summary
    has at most ``SCREEN`` lines. With ``everything`` each finding is shown with all its fixes, and links and
    the commands in them are not broken.
    """
    if command is None:
        command = ["pip", "install", *diagnosis.plan.requirements]
    page = _Page(diagnosis, machine, python, max(width, 40), command, notes, file)
    return "\n".join(_everything(page) if everything else _screen(page))


def answer(says: str, width: int) -> str:
    """Format the answer alone, where there is nothing more to show."""
    return "\n".join(_wrap(f"{says.rstrip('.')}.", max(width, 40), "Can this train? ", "  "))


def _screen(page: _Page) -> list[str]:
    """Return the lines of a summary: the answer, what to do, where, then the findings as room allows."""
    top = [*_answer(page.diagnosis, page.width), *_to_do(page), "", *_facts(page, short=True)]
    counted = [finding for finding in page.diagnosis.findings if finding.counts]
    rest = _rest(page.diagnosis, page.width)
    rest += [_cut(f"{'info':<9}{note}", page.width) for note in page.notes]
    room = SCREEN - len(top) - len(rest) - 1
    shown = [*_fitting(counted, page.diagnosis, page.width, room), *rest]
    return [*top, *([""] if shown else []), *shown]


def _everything(page: _Page) -> list[str]:
    lines = [
        *_answer(page.diagnosis, page.width),
        *_to_do(page),
        "",
        *_facts(page, short=False),
        "",
    ]
    for finding in page.diagnosis.findings:
        if finding.here:
            lines += _finding(finding, page.width)
    elsewhere = [finding for finding in page.diagnosis.findings if not finding.here]
    if elsewhere:
        lines += ["", "On a Mac, and not counted here:"]
        for finding in elsewhere:
            lines += _finding(finding, page.width)
    for note in page.notes:
        lines += ["", *_wrap(note, page.width, "", "  ")]
    return lines


def _answer(diagnosis: Diagnosis, width: int) -> list[str]:
    if diagnosis.verdict.trains == train_verdict.NOTHING:
        return [diagnosis.verdict.says]
    says = diagnosis.verdict.says.rstrip(".")
    return _at_most(3, _wrap(f"{says}.", width, "Can this train? ", "  "), width)


def _to_do(page: _Page) -> list[str]:
    """Return what to do, and what that fixes; nothing where no change of version fixes anything."""
    plan, manager, width = page.diagnosis.plan, page.diagnosis.manager, page.width
    if not plan.requirements and not page.command:
        return []
    wanted = " ".join(plan.requirements)
    advice = managers.advice(manager) if manager else ""
    lines = _wrap(f"First: {advice}", width, "", "  ") if advice else []
    if page.command:
        lines += _command(page.command, width) or ["Do: see `metalassay doctor --fix`"]
    elif page.file:
        lines += _wrap(f"Do: ask for {wanted} in {page.file}", width, "", "    ")
    else:
        lines += _wrap(f"Then install {wanted}", width, "", "  ")
    if not plan.requirements:
        return lines
    counted = sum(finding.counts for finding in page.diagnosis.findings)
    fixes = f"fixes {len(plan.fixes)}" + (f" of {counted}" if counted else "")
    brings = f", brings {len(plan.brings)}" if plan.brings else ""
    applies = ", --apply runs it" if page.command and not page.file else ""
    return lines + _wrap(f"{fixes}{brings}; --fix explains it{applies}", width, "  ", "  ")


def _command(words: Sequence[str], width: int) -> list[str]:
    """Return a command on lines that a shell joins; none where a word is too long for a line."""
    lines = ["Do:"]
    for word in words:
        quoted = fix_plan.as_shell([_short(word)])
        if len(lines[-1]) + len(quoted) + 3 > width:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {quoted}"
    return [] if any(len(line) > width for line in lines) or len(lines) > 4 else lines


def _short(word: str) -> str:
    """Return a path below the working directory without it."""
    here = f"{Path.cwd()}{os.sep}"
    return word.removeprefix(here) if word.startswith(here) else word


def _facts(page: _Page, *, short: bool) -> list[str]:
    """Return the lines about the machine, the Python, the versions and MPS."""
    diagnosis, width, machine = page.diagnosis, page.width, page.machine
    versions = dict(diagnosis.versions)
    names = [name for name in _MAIN if name in versions] if short else list(versions)
    manager = managers.describe(diagnosis.manager) if diagnosis.manager else ""
    python = page.python or (diagnosis.manager.python if diagnosis.manager else "")
    place = ", ".join(filter(None, (_end(_short(python), width // 2), manager)))
    if page.file:
        place = f"asked for by {page.file}; not installed"
    number = versions.get("python", "")
    lines = []
    for label, text, most in (
        ("Machine", machine, 2),  # a virtual machine has a long name, and its macOS comes last
        ("Python", ": ".join(filter(None, (number, place))) if short else place, 1),
        ("Versions", ", ".join(f"{name} {versions[name]}" for name in names), 2),
        ("MPS", "" if short and diagnosis.probe is None else _mps(diagnosis), 2),
    ):
        if text:
            field = _wrap(text, width, f"{label:<{_LABEL}}", " " * _LABEL)
            lines += _at_most(most, field, width) if short else field
    return lines


def _end(text: str, most: int) -> str:
    """Return the last ``most`` characters of a text, marked if there were more."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _fitting(counted: Sequence[Finding], diagnosis: Diagnosis, width: int, room: int) -> list[str]:
    """Return the findings in at most ``room`` lines.

    First come errors, in full, and what is no known bug; the others have one line each. Where that is too
    long, the later ones of the full ones are shortened, then the last findings of all are only counted,
    then no more is left of the full ones than a line.
    """
    in_full = [each for each in counted if each.severity == "error" or each.kind != BUG]
    in_full.sort(key=lambda each: each.severity != "error")
    others = [each for each in counted if each not in in_full]
    blocks = [_block(each, diagnosis, width) for each in in_full]
    blocks += [[_one_line(each, width)] for each in others]
    shown = len(blocks)

    def fits() -> bool:
        return sum(map(len, blocks[:shown])) + (shown < len(blocks)) <= room

    for number in reversed(range(1, len(in_full))):
        if not fits():
            blocks[number] = _block(in_full[number], diagnosis, width, short=True)
    while shown > len(in_full) and not fits():
        shown -= 1
    for number in reversed(range(len(in_full))):
        if not fits():
            blocks[number] = [_one_line(in_full[number], width)]
    while shown and not fits():
        shown -= 1
    lines = [line for block in blocks[:shown] for line in block]
    left = len(blocks) - shown
    return [*lines, f"{_INDENT}and {left} more: -v"] if left else lines


def _block(finding: Finding, diagnosis: Diagnosis, width: int, *, short: bool = False) -> list[str]:
    """Return a finding in full, in at most eight lines; ``short``: in three."""
    lines = _at_most(2, _wrap(finding.title, width, f"{finding.severity:<9}", _INDENT), width)
    if finding.kind == BUG:
        about = f"met in: {finding.entry}; {finding.observed}"
    else:
        about = f"{finding.observed} -> {finding.expected}"
    lines += _at_most(1 if short else 2, _wrap(about, width, _INDENT, _INDENT), width)
    if short:
        return lines
    if finding.fix and finding.id not in diagnosis.plan.fixes:
        lines += _at_most(1, _wrap(finding.fix, width, f"{_INDENT}fix: ", _INDENT), width)
    if finding.workaround and finding.severity == "error":
        lines += _at_most(2, _wrap(finding.workaround, width, f"{_INDENT}or: ", _INDENT), width)
    link = f"{_INDENT}{finding.link}"
    return lines + ([link] if finding.link and len(link) <= width else [])


def _one_line(finding: Finding, width: int) -> str:
    return _cut(f"{finding.severity:<9}{finding.title}", width)


def _rest(diagnosis: Diagnosis, width: int) -> list[str]:
    """Return the lines about what is not counted, three at most."""
    aside = [finding for finding in diagnosis.findings if not finding.counts]
    notes = [each for each in aside if each.here and each.kind != BUG]
    told = [each for each in notes if each.kind in (VARIABLE, MPS)][:2]
    unknown = sum(each.here and each.kind == BUG for each in aside)
    elsewhere = sum(not each.here for each in aside)
    more = len(notes) - len(told)
    parts = [
        f"{elsewhere} more on a Mac" if elsewhere else "",
        f"{unknown} known bug{'s' * (unknown > 1)} that no version fixes" if unknown else "",
        f"{more} note{'s' * (more > 1)}" if more else "",
    ]
    text = ", ".join(filter(None, parts))
    lines = [_cut(f"{'info':<9}{note.title}", width) for note in told]
    return [*lines, *([_cut(f"{'info':<9}{text}: -v", width)] if text else [])]


def plan_text(diagnosis: Diagnosis, command: Sequence[str], width: int = 100) -> str:
    """Return the command of the plan, what it fixes, what it leaves and what it newly brings."""
    plan = diagnosis.plan
    if not plan.requirements:
        return "no change of version fixes anything here"
    first = fix_plan.as_shell(command) if command else f"install: {' '.join(plan.requirements)}"
    lines = [first, ""]
    for heading, ids in (
        (f"fixes {len(plan.fixes)}", plan.fixes),
        (f"brings {len(plan.brings)} that did not apply before", plan.brings),
        (f"leaves {len(plan.remains)} that cannot be fixed together with these", plan.remains),
    ):
        if ids:
            lines += _wrap(f"{heading}: {', '.join(ids)}", width, "  ", "    ")
    if plan.brings or plan.remains:
        lines += _wrap("metalassay explain --list describes each of them", width, "  ", "    ")
    return "\n".join(lines)


def _finding(finding: Finding, width: int) -> list[str]:
    """Return a finding with all its fixes."""
    lines = _wrap(finding.title, width, f"{finding.severity:<9}", _INDENT)
    reports = f"; reported {finding.reports} times" if finding.reports > 1 else ""
    if finding.entry:
        lines += _wrap(f"met in: {finding.entry}{reports}", width, _INDENT, _INDENT)
    lines += _wrap(f"{finding.observed} -> {finding.expected}", width, _INDENT, _INDENT)
    lines += [f"{_INDENT}fix: {finding.fix}"] if finding.fix else []
    for text in (*finding.fixes, *(f"not a fix: {text}" for text in finding.not_fixes)):
        begin = _INDENT if text.startswith("not a fix") else f"{_INDENT}or:  "
        lines += _wrap(text, width, begin, f"{_INDENT}     ")
    lines.append(f"{_INDENT}{finding.link} [{finding.id}]".replace("  [", " ["))
    return lines


def _mps(diagnosis: Diagnosis) -> str:
    probe = diagnosis.probe
    if probe is None:
        return "not tested (--no-probe)"
    gpu = f" ({probe.gpu})" if probe.gpu else ""
    floor = f"; torch {probe.torch} needs macOS {probe.os_floor}" if probe.os_floor else ""
    return f"{probe.state}{gpu}: {probe.reason}{floor}"


def _at_most(most: int, lines: list[str], width: int) -> list[str]:
    """Return the first ``most`` lines; a mark at the end says that there were more."""
    if len(lines) <= most:
        return [_cut(line, width) for line in lines]
    return [*(_cut(line, width) for line in lines[: most - 1]), _cut(f"{lines[most - 1]} …", width)]


def _cut(line: str, width: int) -> str:
    """Return a line of at most ``width`` columns; a mark at the end says that it was longer."""
    return line if len(line) <= width else f"{line[: width - 1].rstrip(' …')}…"


def _wrap(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=max(width, 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
