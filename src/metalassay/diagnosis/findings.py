"""The findings of a diagnosis, and how each source's answer becomes findings.

Sources are the known bugs, the environment variables, the probe of MPS and package metadata.
Severities: "error" breaks normal use, "warning" is worth fixing and can be fixed, "info" is worth
knowing. A bug that no change of version fixes is "info"; otherwise no environment could be healthy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.environment import variables
from metalassay.mps import probe
from metalassay.mps.probe import Probe, os_floors

BUG, VARIABLE, MPS, METADATA = "known bug", "environment variable", "MPS", "metadata"
SEVERITIES = ("error", "warning", "info")
"""The worst first."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``id`` is the stable id of a known bug or of a rule; ``kind`` names the source. ``fix`` is a
    command, or empty. ``fixes`` are sentences in the order in which to try them, ``workaround`` is
    the first of them that keeps the installed versions, and ``not_fixes`` do not help.
    """

    id: str
    kind: str
    severity: str
    title: str
    observed: str
    expected: str
    fix: str
    link: str
    fixes: tuple[str, ...] = ()
    workaround: str = ""
    not_fixes: tuple[str, ...] = ()


def of_bugs(installed: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each known bug that the installed versions have."""
    known = bugs.load()
    # A bug that masks others stops a program before it reaches them.
    masks = {mask for bug in known for mask in bug.masked_by}
    return [_bug(bug, installed, masks) for bug in known if bug.hits(installed)]


def of_variables(
    environ: Mapping[str, str], installed: Mapping[str, str], system: str, *, usable: bool
) -> list[Finding]:
    """Return a finding for each environment variable that does not do what it was set for.

    ``system`` is the value of ``platform.system()``; ``usable``: the probe found MPS usable.
    """
    return [
        Finding(
            id=match.rule.id,
            kind=VARIABLE,
            severity=match.rule.severity,
            title=f"{match.rule.variable} is {match.rule.verdict}: {match.rule.says}",
            observed=match.observed,
            expected=match.rule.expected,
            fix=match.rule.fix,
            link=match.rule.link,
        )
        for match in variables.check(environ, installed, system, usable=usable)
    ]


def of_metadata(installed: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each package whose version cannot be parsed."""
    return [
        Finding(
            id=f"unreadable-{name}",
            kind=METADATA,
            severity="warning",
            title=f"The metadata of {name} has no valid version; reinstall the package",
            observed=f"{name} {version}",
            expected="a version according to PEP 440",
            fix=fix_plan.as_shell(["pip", "install", "--force-reinstall", "--no-deps", name]),
            link="https://packaging.python.org/en/latest/specifications/version-specifiers/",
        )
        for name, version in installed.items()
        if not is_version(version)
    ]


def is_version(text: str) -> bool:
    """Return whether PEP 440 accepts a version."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


@dataclass(frozen=True)
class _MpsState:
    """What the finding for one state of the probe says."""

    id: str
    severity: str
    expected: str
    link: str


_INSTALL = "https://pytorch.org/get-started/locally/"
_BY_STATE = {
    probe.NO_TORCH: _MpsState(
        "torch-not-importable", "error", "a torch that can be imported", _INSTALL
    ),
    probe.NOT_BUILT: _MpsState(
        "mps-not-built", "warning", "torch's wheel for macOS arm64, in an arm64 Python", _INSTALL
    ),
    probe.NOT_ADVERTISED: _MpsState(
        "mps-not-advertised",
        "warning",
        "a Metal GPU that this torch supports",
        "https://github.com/pytorch/pytorch/issues/177819",
    ),
    probe.DEAD: _MpsState(
        "mps-dead",
        "error",
        "a GPU on which memory can be allocated; until then select the CPU explicitly",
        "https://github.com/actions/runner-images/issues/9918",
    ),
    probe.WRONG: _MpsState(
        "mps-wrong",
        "error",
        "results that agree with the CPU; until then select the CPU explicitly",
        "https://github.com/actions/runner-images/issues/14380",
    ),
}
_BELOW_FLOOR, _VIRTUAL = "mps-below-os-floor", "mps-virtual-machine"
_VIRTUAL_LINK = "https://docs.github.com/en/actions/reference/runners/github-hosted-runners"

MPS_IDS = (*(state.id for state in _BY_STATE.values()), _BELOW_FLOOR, _VIRTUAL)
"""The ids that findings about MPS can have."""


def of_mps(answer: Probe | None, installed: Mapping[str, str], system: str) -> list[Finding]:
    """Return the findings of a probe; without one, only whether this macOS is too old for torch.

    ``system`` is the value of ``platform.system()``. Outside macOS, a torch without MPS is not a
    finding; on no system is a torch that is not installed.
    """
    torch = answer.torch if answer else installed.get("torch")
    macos = answer.macos if answer else installed.get("macos")
    floor = os_floors.floor(torch) if system == "Darwin" else None
    too_old = os_floors.below(macos, floor)
    fix = _older_torch(macos) if too_old else ""
    if answer is not None and answer.state != probe.USABLE:
        return [_mps_state(answer, fix)] if _is_reported(answer, system) else []
    findings = []
    if floor is not None and too_old:
        findings.append(
            Finding(
                id=_BELOW_FLOOR,
                kind=MPS,
                severity="warning",
                title="This macOS is too old for MPS in this torch",
                observed=f"macOS {macos}, torch {torch}",
                expected=f"macOS {floor.needs} or newer",
                fix=fix,
                link=floor.source,
            )
        )
    if answer is not None and answer.virtual:
        findings.append(
            Finding(
                id=_VIRTUAL,
                kind=MPS,
                severity="info",
                title="This is a virtual machine: figures measured here do not describe the chip",
                observed="virtual",
                expected="a physical Mac for measurements",
                fix="",
                link=_VIRTUAL_LINK,
            )
        )
    return findings


def _bug(bug: bugs.Bug, installed: Mapping[str, str], masks: Collection[str]) -> Finding:
    changes = fix_plan.changes_for(bug, installed)
    fixable = "error" if bug.id in masks else "warning"
    keeping = (str(fix) for fix in bug.fixes if not fix.install)
    return Finding(
        id=bug.id,
        kind=BUG,
        severity=fixable if changes else "info",
        title=bug.title,
        observed=", ".join(
            f"{package} {installed[package]}"
            for package in sorted(bug.packages)
            if package in installed
        ),
        expected=f"not {bug.where_text()}"
        + (f" ({bugs.REPORTED_ONLY})" if bug.reported_only else ""),
        fix=fix_plan.as_shell(["pip", "install", *(change.requirement for change in changes)])
        if changes
        else "",
        link=bug.link,
        fixes=tuple(str(fix) for fix in bug.fixes),
        workaround=next(keeping, ""),
        not_fixes=bug.not_fixes,
    )


def _is_reported(answer: Probe, system: str) -> bool:
    if answer.state == probe.NO_TORCH:
        return answer.torch is not None
    return answer.state != probe.NOT_BUILT or system == "Darwin"


def _mps_state(answer: Probe, fix: str) -> Finding:
    state = _BY_STATE[answer.state]
    return Finding(
        id=state.id,
        kind=MPS,
        severity=state.severity,
        title=probe.STATES[answer.state],
        observed=answer.reason,
        expected=state.expected,
        fix=fix,
        link=state.link,
    )


def _older_torch(macos: str | None) -> str:
    """Return the command for the newest torch whose MPS runs on this macOS, or an empty string."""
    fit = [row for row in os_floors.load() if not os_floors.below(macos, row)]
    upper = [s for s in fit[-1].torch if s.operator == "<"] if fit else []
    return fix_plan.as_shell(["pip", "install", f"torch{upper[0]}"]) if upper else ""
