"""Find what is wrong with an environment: known bugs, environment variables, MPS.

Imports none of the packages that it examines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from metalassay import bugs
from metalassay.diagnosis import findings, fix_plan
from metalassay.diagnosis.findings import SEVERITIES, Finding
from metalassay.environment import variables
from metalassay.errors import UserError
from metalassay.mps import probe as mps
from metalassay.mps.probe import Probe

SCHEMA = {"name": "metalassay.diagnosis.doctor", "version": 1}


@dataclass(frozen=True)
class Diagnosis:
    """The installed ``versions``, the probe (None: not run), the findings and the plan to fix them."""

    versions: Mapping[str, str]
    probe: Probe | None
    findings: tuple[Finding, ...]
    plan: fix_plan.Plan

    @property
    def healthy(self) -> bool:
        """Whether every finding is only worth knowing."""
        return all(finding.severity == "info" for finding in self.findings)


def diagnose(
    installed: Mapping[str, str],
    ignored: Collection[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    system: str = "",
    probe: Probe | None = None,
) -> Diagnosis:
    """Check versions, variables and the probe's answer against what is known; the worst comes first.

    ``ignored`` are ids of findings to leave out. Raises ``UserError`` for an id that does not
    exist, which is a typo or out of date.
    """
    check_ids(ignored)
    valid = {name: text for name, text in installed.items() if findings.is_version(text)}
    usable = probe is not None and probe.state == mps.USABLE
    all_findings = [
        *findings.of_metadata(installed),
        *findings.of_mps(probe, valid, system),
        *findings.of_variables(environ or {}, valid, system, usable=usable),
        *findings.of_bugs(valid),
    ]
    wanted = (finding for finding in all_findings if finding.id not in ignored)
    return Diagnosis(
        versions=dict(installed),
        probe=probe,
        findings=tuple(sorted(wanted, key=lambda finding: SEVERITIES.index(finding.severity))),
        plan=fix_plan.plan(valid, tuple(ignored)),
    )


def check_ids(ignored: Collection[str]) -> None:
    """Raise ``UserError`` for an id that no finding can have."""
    known = {bug.id for bug in bugs.load()} | {rule.id for rule in variables.load()}
    unknown = sorted(set(ignored) - known - set(findings.MPS_IDS))
    if unknown:
        raise UserError(f"no finding has the id {unknown[0]!r}", "metalassay explain --list")
