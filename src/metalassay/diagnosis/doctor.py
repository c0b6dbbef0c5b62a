"""What is wrong with an environment: known bugs, environment variables, MPS. Imports none of it.

Severities: "error" breaks what everybody does, "warning" can be fixed and is worth it, "info" is
worth knowing. A bug that no change of version fixes is "info", else nothing could ever be healthy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from metalassay.bugs import catalogue as bugs
from metalassay.diagnosis import fix_plan, mps_findings
from metalassay.diagnosis.findings import BUG, METADATA, SEVERITIES, VARIABLE, Finding
from metalassay.environment import variables
from metalassay.errors import UserError
from metalassay.mps import probe as mps
from metalassay.mps.probe import Probe

SCHEMA = {"name": "metalassay.diagnosis.doctor", "version": 1}


@dataclass(frozen=True)
class Diagnosis:
    """``versions`` that are installed, the probe (None: not asked), what was found, what fixes it."""

    versions: Mapping[str, str]
    probe: Probe | None
    findings: tuple[Finding, ...]
    plan: fix_plan.Plan

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
        *mps_findings.look(probe, read, system),
        *(_variable(m) for m in variables.check(environ or {}, read, system, usable=usable)),
        *(_bug(bug, read, masks) for bug in bugs.load() if bug.hits(read)),
    ]
    wanted = (finding for finding in found if finding.id not in ignored)
    return Diagnosis(
        versions=dict(installed),
        probe=probe,
        findings=tuple(sorted(wanted, key=lambda each: SEVERITIES.index(each.severity))),
        plan=fix_plan.plan(read, tuple(ignored)),
    )


def check_ids(ignored: Collection[str]) -> None:
    """Raise ``UserError`` for an id that no finding can have."""
    known = {bug.id for bug in bugs.load()} | {rule.id for rule in variables.load()}
    unknown = sorted(set(ignored) - known - set(mps_findings.IDS))
    if unknown:
        raise UserError(f"no finding is called {unknown[0]!r}", "metalassay explain --list")


def _bug(bug: bugs.Bug, installed: Mapping[str, str], masks: Collection[str]) -> Finding:
    changes = fix_plan.changes_for(bug, installed)
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
        fix=fix_plan.as_shell(["pip", "install", *(each.requirement for each in changes)])
        if changes
        else "",
        link=bug.link,
        fixes=bug.fixes,
    )


def _variable(match: variables.Match) -> Finding:
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


def _unreadable(installed: Mapping[str, str]) -> list[Finding]:
    return [
        Finding(
            id=f"unreadable-{name}",
            kind=METADATA,
            severity="warning",
            title=f"The metadata of {name} name no version",
            observed=f"{name} {version}",
            expected="a version that PEP 440 can read",
            fix=fix_plan.as_shell(["pip", "install", "--force-reinstall", "--no-deps", name]),
            link="https://packaging.python.org/en/latest/specifications/version-specifiers/",
        )
        for name, version in installed.items()
        if not _readable(version)
    ]


def _readable(version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return True
