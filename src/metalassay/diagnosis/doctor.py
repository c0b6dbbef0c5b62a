"""Find what is wrong with an environment: known bugs, environment variables, MPS.

Imports none of the packages that it examines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay import bugs, pep440
from metalassay.diagnosis import findings, fix_plan, loader_findings, tested_sets, train_verdict
from metalassay.diagnosis.findings import Finding
from metalassay.diagnosis.train_verdict import Verdict
from metalassay.environment import loader_patches, lock_files, variables
from metalassay.environment.executed import Executed
from metalassay.environment.interpreters import Interpreter
from metalassay.environment.managers import Manager
from metalassay.environment.versions import MACHINE
from metalassay.errors import UserError
from metalassay.linkcheck import Break
from metalassay.mps import probe as mps
from metalassay.mps.probe import Probe

SCHEMA = {"name": "metalassay.diagnosis.doctor", "version": 1}


@dataclass(frozen=True)
class Diagnosis:
    """What was found in an environment, and what it means.

    ``versions`` are installed. ``probe`` is None if it was not run, ``manager`` if nothing is installed.
    ``verdict`` says whether it can train, ``executed`` which rows of the matrix had these versions, and
    ``breaks`` what packages call in each other and do not find; None: not looked at. ``plan`` fixes
    what can be fixed.
    """

    versions: Mapping[str, str]
    probe: Probe | None
    findings: tuple[Finding, ...]
    plan: fix_plan.Plan
    verdict: Verdict
    executed: Executed | None = None
    breaks: tuple[Break, ...] | None = None
    manager: Manager | None = None

    @property
    def healthy(self) -> bool:
        """Whether every finding is only worth knowing, or about another system."""
        return not any(finding.counts for finding in self.findings)


def diagnose(
    installed: Mapping[str, str],
    ignored: Collection[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    system: str = "",
    probe: Probe | None = None,
    breaks: Sequence[Break] | None = None,
    managed: tuple[Manager, Interpreter] | None = None,
    project: Path | None = None,
) -> Diagnosis:
    """Check versions, variables and the probe's answer against what is known; the worst comes first.

    ``ignored`` are ids of findings to leave out. ``breaks`` is the answer of the link check, and
    ``managed`` how the environment is managed and what its interpreter says of itself. ``project`` is a
    folder in whose sources patches of others are looked for. Raises ``UserError`` for an id that does not
    exist, which is a typo or out of date.
    """
    check_ids(ignored)
    valid = {name: text for name, text in installed.items() if pep440.is_version(text)}
    elsewhere = () if system in ("", "Darwin") else _of_macs()
    plan = fix_plan.plan(valid, (*ignored, *elsewhere))
    usable = probe is not None and probe.state == mps.USABLE
    all_findings = [
        *findings.of_metadata(installed),
        *findings.of_mps(probe, valid, system),
        *findings.of_variables(environ or {}, valid, system, usable=usable),
        *findings.of_breaks(breaks or (), valid),
        *findings.of_bugs(valid, system, plan),
    ]
    manager = None
    if managed is not None:
        manager, interpreter = managed
        locked = lock_files.pinned(manager.lock, installed)
        replacements = [] if project is None else loader_patches.in_folder(project)
        edited = loader_patches.edited(interpreter.installs)
        all_findings += loader_findings.of_loader_patches(replacements, edited, valid)
        all_findings += findings.of_environment(manager, interpreter, valid, locked)
    wanted = sorted(
        (finding for finding in all_findings if finding.id not in ignored), key=findings.order
    )
    about = {package for bug in bugs.load() for package in bug.packages} - MACHINE
    rows = tested_sets.find(valid)
    return Diagnosis(
        versions=dict(installed),
        probe=probe,
        findings=tuple(wanted),
        plan=plan,
        verdict=train_verdict.decide(
            wanted,
            rows,
            linked=None if breaks is None else len(breaks),
            judged=about & installed.keys(),
        ),
        executed=rows,
        breaks=None if breaks is None else tuple(breaks),
        manager=manager,
    )


def check_ids(ignored: Collection[str]) -> None:
    """Raise ``UserError`` for an id that no finding can have."""
    known = {bug.id for bug in bugs.load()} | {rule.id for rule in variables.load()}
    known |= {*findings.MPS_IDS, *findings.ENVIRONMENT_IDS}
    ids = (each for each in ignored if not each.startswith(findings.LINK_ID))
    unknown = sorted(set(ids) - known)
    if unknown:
        raise UserError(f"no finding has the id {unknown[0]!r}", "metalassay explain --list")


def _of_macs() -> tuple[str, ...]:
    """Return the ids of the bugs that only a Mac's GPU shows."""
    return tuple(bug.id for bug in bugs.load() if bug.needs == bugs.MPS)
