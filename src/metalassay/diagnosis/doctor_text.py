"""A diagnosis laid out for a terminal: one screen, or with everything."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from metalassay.bugs import catalogue as bugs
from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.doctor import Diagnosis
from metalassay.diagnosis.findings import BUG, Finding
from metalassay.environment import versions

_NOT_A_FIX, _UPGRADE = "not a fix: ", "upgrade: "
_BEGIN = " " * 9


def as_text(
    diagnosis: Diagnosis,
    machine: str,
    *,
    python: str = "",
    width: int = 100,
    everything: bool = False,
) -> str:
    """Lay a diagnosis out in lines of at most ``width`` columns, but for commands and addresses.

    ``machine`` and ``python`` are said at the top. With ``everything`` each finding is shown with all
    its fixes; without, what is only worth knowing is a line.
    """
    lines = _field("Machine", machine, width)
    if python:
        lines += _field("Python", python, width)
    listed = ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items())
    lines += _field("Versions", listed, width)
    lines += _field("MPS", _mps(diagnosis), width)
    lines.append("")
    counted = [each for each in diagnosis.findings if each.severity != "info"]
    noted = [each for each in diagnosis.findings if each.severity == "info"]
    for finding in counted:
        lines += _finding(finding, width, everything)
    if counted:
        lines.append("")
    if noted:
        lines += _noted(noted, width, everything)
    lines += _summary(diagnosis, len(counted), width)
    return "\n".join(lines)


def plan_text(diagnosis: Diagnosis, command: Sequence[str], width: int = 100) -> str:
    """Say which command fixes what, and what it does not fix or brings along."""
    plan = diagnosis.plan
    if not plan.requirements:
        return "No change of version fixes anything here."
    lines = [fix_plan.as_shell(command), ""]
    for words, ids in (
        (f"fixes {len(plan.fixes)}", plan.fixes),
        (f"brings {len(plan.brings)} that did not apply", plan.brings),
        (
            f"leaves {len(plan.remains)} that a version fixes only at the cost of another",
            plan.remains,
        ),
    ):
        if ids:
            lines += _wrap(f"{words}: {', '.join(ids)}", width, "  ", "    ")
    if plan.brings or plan.remains:
        lines += _wrap("What each of them is: metalassay explain --list", width, "  ", "    ")
    return "\n".join(lines)


def _finding(finding: Finding, width: int, everything: bool) -> list[str]:
    lines = _wrap(finding.title, width, f"{finding.severity:<9}", _BEGIN)
    if everything or finding.kind != BUG:
        lines += _wrap(f"{finding.observed} -> {finding.expected}", width, _BEGIN, _BEGIN)
        lines += [f"{_BEGIN}fix: {finding.fix}"] if finding.fix else []
    else:
        lines.append(f"{_BEGIN}{finding.observed}: {finding.fix}")
    for fix in finding.fixes if everything else _best(finding):
        lines += _wrap(fix, width, f"{_BEGIN}or:  ", f"{_BEGIN}     ")
    lines.append(f"{_BEGIN}{finding.link} [{finding.id}]")
    return lines


def _best(finding: Finding) -> list[str]:
    """Return, for what breaks most, the first fix that keeps the versions: a patch, a way around."""
    if finding.severity != "error":
        return []
    keep = (each for each in finding.fixes if not each.startswith((_UPGRADE, _NOT_A_FIX)))
    return list(keep)[:1]


def _noted(noted: Sequence[Finding], width: int, everything: bool) -> list[str]:
    """Lay out what is not counted: variables and MPS in full, the bugs that stay by their ids."""
    lines = []
    for finding in noted:
        if everything or finding.kind != BUG:
            lines += _finding(finding, width, everything)
    stay = [finding.id for finding in noted if finding.kind == BUG]
    if stay and not everything:
        said = "known bugs apply that no other version fixes; not counted (-v shows them)"
        lines += _wrap(f"{len(stay)} {said}: {', '.join(stay)}", width, f"{'info':<9}", _BEGIN)
    return [*lines, ""]


def _mps(diagnosis: Diagnosis) -> str:
    probe = diagnosis.probe
    if probe is None:
        return "not asked (--no-probe)"
    gpu = f" ({probe.gpu})" if probe.gpu else ""
    floor = f"; torch {probe.torch} needs macOS {probe.os_floor}" if probe.os_floor else ""
    return f"{probe.state}{gpu}: {probe.reason}{floor}"


def _summary(diagnosis: Diagnosis, counted: int, width: int) -> list[str]:
    about = {package for bug in bugs.load() for package in bug.packages} - versions.MACHINE
    if not counted and not about & diagnosis.versions.keys():
        return ["Nothing that the known bugs are about is installed here."]
    if not counted:
        return [f"Healthy: of {len(bugs.load())} known bugs none applies that a version fixes."]
    plan = diagnosis.plan
    words = "1 finding" if counted == 1 else f"{counted} findings"
    if not plan.requirements:
        return [f"{words}."]
    listed = " ".join(plan.requirements)
    return _wrap(
        f"{words}; {listed} together fix {len(plan.fixes)}: metalassay doctor --fix shows the"
        " command, --apply runs it.",
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
