"""What is wrong with an environment: known bugs, environment variables, MPS. Imports none of it.

Severities: "error" breaks what everybody does, "warning" can be cured and is worth it, "info" is
worth knowing. A bug that no change of version cures is "info", else nothing could ever be healthy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from metalassay import bugs, environment, fixes
from metalassay.errors import UserError
from metalassay.mps import floors
from metalassay.mps import probe as mps
from metalassay.mps.probe import Probe

SCHEMA = {"name": "metalassay.doctor", "version": 1}
BUG, VARIABLE, MPS, METADATA = "known bug", "environment variable", "MPS", "metadata"

_SEVERITIES = ("error", "warning", "info")
_VM_LINK = "https://docs.github.com/en/actions/reference/runners/github-hosted-runners"


@dataclass(frozen=True)
class Finding:
    """One thing found. ``fix`` is a command, or empty; ``cures`` are in the order to try them.

    ``id`` is a known bug's or a rule's and stays the same; ``kind`` says which of the two it is.
    """

    id: str
    kind: str
    severity: str
    title: str
    observed: str
    expected: str
    fix: str
    link: str
    cures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """``versions`` that are installed, the probe (None: not asked), what was found, what cures it."""

    versions: Mapping[str, str]
    probe: Probe | None
    findings: tuple[Finding, ...]
    plan: fixes.Plan

    @property
    def healthy(self) -> bool:
        """Whether nothing was found but what is only worth knowing."""
        return all(finding.severity == "info" for finding in self.findings)


def diagnose(
    installed: Mapping[str, str],
    ignored: Collection[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    system: str = "",
    probe: Probe | None = None,
) -> Diagnosis:
    """Hold versions, variables and the probe's answer against what is known, the worst first.

    ``ignored`` are ids to leave out. Raises ``UserError`` for one that does not exist: it would be a
    typo, or out of date.
    """
    check_ids(ignored)
    read = {name: version for name, version in installed.items() if _readable(version)}
    usable = probe is not None and probe.state == mps.USABLE
    # A bug that hides others stops everything before it gets to them.
    masks = {each for bug in bugs.load() for each in bug.masked_by}
    found = [
        *_unreadable(installed),
        *_about_mps(probe, read, system),
        *(_variable(m) for m in environment.check(environ or {}, read, system, usable=usable)),
        *(_bug(bug, read, masks) for bug in bugs.load() if bug.hits(read)),
    ]
    wanted = (finding for finding in found if finding.id not in ignored)
    return Diagnosis(
        versions=dict(installed),
        probe=probe,
        findings=tuple(sorted(wanted, key=lambda each: _SEVERITIES.index(each.severity))),
        plan=fixes.plan(read, tuple(ignored)),
    )


def check_ids(ignored: Collection[str]) -> None:
    """Raise ``UserError`` for an id that no finding can have."""
    known = {bug.id for bug in bugs.load()} | {rule.id for rule in environment.load()}
    unknown = sorted(set(ignored) - known - set(_MPS_IDS))
    if unknown:
        raise UserError(f"no finding is called {unknown[0]!r}", "metalassay explain --list")


def _bug(bug: bugs.Bug, installed: Mapping[str, str], masks: Collection[str]) -> Finding:
    changes = fixes.changes_for(bug, installed)
    curable = "error" if bug.id in masks else "warning"
    reported = getattr(bug, "reported_only", False)
    return Finding(
        id=bug.id,
        kind=BUG,
        severity=curable if changes else "info",
        title=bug.title,
        observed=", ".join(
            f"{package} {installed[package]}"
            for package in sorted(bug.packages)
            if package in installed
        ),
        expected=f"not {bug.where_text()}{' (reported upstream, not run by us)' if reported else ''}",
        fix=fixes.as_shell(["pip", "install", *(each.requirement for each in changes)])
        if changes
        else "",
        link=bug.link,
        cures=bug.cures,
    )


def _variable(match: environment.Match) -> Finding:
    rule = match.rule
    return Finding(
        id=rule.id,
        kind=VARIABLE,
        severity=rule.severity,
        title=f"{rule.variable} is {rule.verdict}: {rule.says}",
        observed=match.observed,
        expected=rule.expected,
        fix=rule.fix,
        link=rule.link,
    )


_MPS_IDS = ("torch-not-importable", "mps-not-built", "mps-not-advertised", "mps-dead", "mps-wrong",
            "mps-below-os-floor", "mps-virtual-machine")  # fmt: skip


def _about_mps(probe: Probe | None, installed: Mapping[str, str], system: str) -> list[Finding]:
    """Say what the probe found; without one, only whether this macOS is too old for that torch."""
    mac = system == "Darwin"
    torch = probe.torch if probe else installed.get("torch")
    macos = probe.macos if probe else installed.get("macos")
    floor = floors.floor(torch) if mac else None
    below = floor is not None and floors.below(macos, floor)
    older = _older_torch(macos) if below else ""
    if probe is None or probe.state == mps.USABLE:
        found = []
        if floor is not None and below:
            found.append(
                Finding("mps-below-os-floor", MPS, "warning", "macOS is too old for this torch's MPS",
                        f"macOS {macos}, torch {torch}", f"macOS {floor.needs} or newer", older,
                        floor.source)
            )  # fmt: skip
        if probe is not None and probe.virtual:
            found.append(
                Finding("mps-virtual-machine", MPS, "info", "A virtual machine: its figures say "
                        "nothing about the chip", "virtual", "a Mac of its own", "", _VM_LINK)
            )  # fmt: skip
        return found
    title, observed = mps.STATES[probe.state], probe.reason
    expected = mps.STATES[mps.USABLE]
    if probe.state == mps.NO_TORCH:
        if probe.torch is None:
            return []
        return [Finding("torch-not-importable", MPS, "error", title, observed, "a torch that can be"
                        " imported", "", "https://pytorch.org/get-started/locally/")]  # fmt: skip
    if probe.state == mps.NOT_BUILT:
        link = "https://pytorch.org/get-started/locally/"
        wanted = "torch's wheel for macOS arm64, in an arm64 Python"
        return (
            [Finding("mps-not-built", MPS, "warning", title, observed, wanted, "", link)]
            if mac
            else []
        )
    severity = "warning" if probe.state == mps.NOT_ADVERTISED else "error"
    link = {
        mps.NOT_ADVERTISED: "https://github.com/pytorch/pytorch/issues/177819",
        mps.DEAD: "https://github.com/actions/runner-images/issues/9918",
        mps.WRONG: "https://github.com/actions/runner-images/issues/14380",
    }[probe.state]
    name = f"mps-{probe.state.replace(' ', '-')}"
    return [Finding(name, MPS, severity, title, observed, expected, older, link)]


def _older_torch(macos: str | None) -> str:
    """Return the command for the newest torch that this macOS can run MPS with, or nothing."""
    fit = [row for row in floors.load() if not floors.below(macos, row)]
    upper = [s for s in fit[-1].torch if s.operator == "<"] if fit else []
    return fixes.as_shell(["pip", "install", f"torch{upper[0]}"]) if upper else ""


def _unreadable(installed: Mapping[str, str]) -> list[Finding]:
    return [
        Finding(f"unreadable-{name}", METADATA, "warning", f"The metadata of {name} name no version",
                f"{name} {version}", "a version that PEP 440 can read",
                fixes.as_shell(["pip", "install", "--force-reinstall", "--no-deps", name]),
                "https://packaging.python.org/en/latest/specifications/version-specifiers/")
        for name, version in installed.items()
        if not _readable(version)
    ]  # fmt: skip


def _readable(version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return True
