"""Format a diagnosis for a terminal: a summary of one screen, or everything."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.doctor import Diagnosis
from metalassay.diagnosis.findings import BUG, Finding
from metalassay.environment import versions

_INDENT = " " * 9


def as_text(
    diagnosis: Diagnosis,
    machine: str,
    *,
    python: str = "",
    width: int = 100,
    everything: bool = False,
) -> str:
    """Format a diagnosis in lines of at most ``width`` columns; commands and links are not broken.

    ``machine`` and ``python`` are shown at the top. With ``everything`` each finding is shown with
    all its fixes; without, bugs that no version fixes share one line.
    """
    lines = _field("Machine", machine, width)
    if python:
        lines += _field("Python", python, width)
    listed = ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items())
    lines += _field("Versions", listed, width)
    lines += _field("MPS", _mps(diagnosis), width)
    lines.append("")
    counted = [finding for finding in diagnosis.findings if finding.severity != "info"]
    noted = [finding for finding in diagnosis.findings if finding.severity == "info"]
    for finding in counted:
        lines += _finding(finding, width, everything)
    if counted:
        lines.append("")
    if noted:
        lines += _noted(noted, width, everything)
    lines += _summary(diagnosis, len(counted), width)
    return "\n".join(lines)


def plan_text(diagnosis: Diagnosis, command: Sequence[str], width: int = 100) -> str:
    """Return the command of the plan, what it fixes, what it leaves and what it newly brings."""
    plan = diagnosis.plan
    if not plan.requirements:
        return "no change of version fixes anything here"
    lines = [fix_plan.as_shell(command), ""]
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


def _finding(finding: Finding, width: int, everything: bool) -> list[str]:
    lines = _wrap(finding.title, width, f"{finding.severity:<9}", _INDENT)
    if everything or finding.kind != BUG:
        lines += _wrap(f"{finding.observed} -> {finding.expected}", width, _INDENT, _INDENT)
        lines += [f"{_INDENT}fix: {finding.fix}"] if finding.fix else []
    else:
        lines.append(f"{_INDENT}{finding.observed}: {finding.fix}")
    if everything:
        alternatives = [*finding.fixes, *(f"not a fix: {text}" for text in finding.not_fixes)]
    else:
        # Whoever meets an error may need to go on with the versions that are installed.
        alternatives = [finding.workaround] if finding.severity == "error" else []
    for text in filter(None, alternatives):
        begin = _INDENT if text.startswith("not a fix") else f"{_INDENT}or:  "
        lines += _wrap(text, width, begin, f"{_INDENT}     ")
    lines.append(f"{_INDENT}{finding.link} [{finding.id}]")
    return lines


def _noted(noted: Sequence[Finding], width: int, everything: bool) -> list[str]:
    """Format the findings that are not counted: variables and MPS in full, bugs by their ids."""
    lines = []
    for finding in noted:
        if everything or finding.kind != BUG:
            lines += _finding(finding, width, everything)
    ids = [finding.id for finding in noted if finding.kind == BUG]
    if ids and not everything:
        heading = "known bugs apply that no other version fixes; not counted (-v shows them)"
        lines += _wrap(f"{len(ids)} {heading}: {', '.join(ids)}", width, f"{'info':<9}", _INDENT)
    return [*lines, ""]


def _mps(diagnosis: Diagnosis) -> str:
    probe = diagnosis.probe
    if probe is None:
        return "not tested (--no-probe)"
    gpu = f" ({probe.gpu})" if probe.gpu else ""
    floor = f"; torch {probe.torch} needs macOS {probe.os_floor}" if probe.os_floor else ""
    return f"{probe.state}{gpu}: {probe.reason}{floor}"


def _summary(diagnosis: Diagnosis, counted: int, width: int) -> list[str]:
    about = {package for bug in bugs.load() for package in bug.packages} - versions.MACHINE
    if not counted and not about & diagnosis.versions.keys():
        return ["No package with known bugs is installed here."]
    if not counted:
        return _wrap(
            f"Healthy: of {len(bugs.load())} known bugs, none applies that can be fixed by changing"
            " a version.", width, "", "",
        )  # fmt: skip
    plan = diagnosis.plan
    total = "1 finding" if counted == 1 else f"{counted} findings"
    if not plan.requirements:
        return [f"{total}."]
    return _wrap(
        f"{total}; installing {' '.join(plan.requirements)} fixes {len(plan.fixes)}:"
        " metalassay doctor --fix shows the command, --apply runs it.",
        width, "", "",
    )  # fmt: skip


def _field(name: str, text: str, width: int) -> list[str]:
    return _wrap(text, width, f"{name:<10}", " " * 10)


def _wrap(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=max(width, 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
