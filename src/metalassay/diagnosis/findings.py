"""The findings of a diagnosis, and how each source's answer becomes findings.

Sources are the known bugs, the environment variables, the probe of MPS, package metadata, what packages
call in each other, and how the environment is managed.
Severities: "error" breaks normal use, "warning" is worth fixing and can be fixed, "info" is worth
knowing. A bug that no change of version fixes is "info"; otherwise no environment could be healthy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metalassay import bugs, pep440
from metalassay.diagnosis import fix_plan
from metalassay.environment import managers, variables
from metalassay.environment.interpreters import Install, Interpreter
from metalassay.environment.managers import Manager
from metalassay.linkcheck.breaks import CERTAIN, Break
from metalassay.mps import probe
from metalassay.mps.probe import Probe, os_floors

BUG, VARIABLE, MPS, METADATA = "known bug", "environment variable", "MPS", "metadata"
LINK, ENVIRONMENT = "link check", "environment"
SEVERITIES = ("error", "warning", "info")
"""The worst first."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``id`` is the stable id of a known bug or of a rule; ``kind`` names the source. ``fix`` is a
    command, or empty. ``fixes`` are sentences in the order in which to try them, ``workaround`` is
    the first of them that keeps the installed versions, and ``not_fixes`` do not help.

    ``entry`` is where one meets it, ``stops`` whether nearly everybody does who goes there, and
    ``reports`` how often that was reported. ``needs`` is what a machine must have for it ("mps"), and
    ``here`` whether this system can have that; what is not here does not count.
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
    entry: str = ""
    stops: bool = False
    reports: int = 0
    needs: str = ""
    here: bool = True

    @property
    def counts(self) -> bool:
        """Whether it makes an environment unhealthy."""
        return self.here and self.severity != "info"


EVERYBODY = ("Trainer", "import of Trainer", "import transformers", "import peft", "import")
"""The entries without which nothing trains; what stops another one stops its users only."""


def order(finding: Finding) -> tuple[bool, int, bool, bool, int]:
    """Return the key that sorts findings by how much they matter: what is here, severity, who meets it."""
    severity = SEVERITIES.index(finding.severity)
    for_all = finding.stops and finding.entry in EVERYBODY
    return (not finding.here, severity, not for_all, not finding.stops, -finding.reports)


def of_bugs(
    installed: Mapping[str, str], system: str = "", plan: fix_plan.Plan = fix_plan.NOTHING
) -> list[Finding]:
    """Return a finding for each known bug that the installed versions have.

    ``system`` is the value of ``platform.system()``, "" if unknown. What ``plan`` fixes has its change as
    the fix, everything else the smallest change of its own.
    """
    known = bugs.load()
    # A bug that masks others stops a program before it reaches them.
    masks = {mask for bug in known for mask in bug.masked_by}
    return [_bug(bug, installed, masks, system, plan) for bug in known if bug.hits(installed)]


def of_breaks(breaks: Iterable[Break], installed: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each entry of a package that the link check says is broken by another one.

    What stops and is certain is an error, what is likely a warning, everything else is worth knowing.
    Left out is what a known bug already says of the same entry, and what one that names the same thing
    calls healthy in these versions: that was executed on both sides of its bounds.
    """
    stopping = [(bug, bug.hits(installed)) for bug in bugs.load() if bug.stops]
    together: dict[tuple[str, str, str], list[Break]] = {}
    for each in breaks:
        known = (hits or _names(bug, each) for bug, hits in stopping if _is_about(bug, each))
        if not any(known):
            together.setdefault((each.caller, each.provider, each.entry), []).append(each)
    return [_break(group) for group in together.values()]


def _is_about(bug: bugs.Bug, each: Break) -> bool:
    """Return whether a known bug is about the entry of a break, and about its packages."""
    entry = bug.entry.lower()
    named = bool(each.entry) and each.entry.lower() in entry
    trainers = "trl's trainers" in entry and each.entry.endswith("Trainer")
    return {each.caller, each.provider} <= bug.packages and (named or trainers)


def _names(bug: bugs.Bug, each: Break) -> bool:
    """Return whether a known bug speaks of the name or the argument that a break is about."""
    text = " ".join([bug.title, bug.cause, *(symptom.match for symptom in bug.symptoms)])
    return any(word in text for word in re.findall(r"\w{6,}", each.what.rpartition(".")[2]))


def _break(group: list[Break]) -> Finding:
    """Return the finding for breaks of one entry; the first of those that stop speaks for all."""
    first = min(group, key=lambda each: (not each.stops, each.confidence != CERTAIN))
    certain = first.stops and first.confidence == CERTAIN
    more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
    return Finding(
        id=f"{LINK_ID}{first.caller}-{first.provider}",
        kind=LINK,
        severity="error" if certain else "warning" if first.stops else "info",
        title=f"{first.caller} {first.caller_version} needs {first.what}, which"
        f" {first.provider} {first.provider_version} does not have{more}",
        observed=f"{first.where} ({first.confidence})",
        expected=f"a {first.provider} that has it",
        fix="",
        link="",
        entry=first.entry,
        stops=certain,
    )


LINK_ID = "link-"
"""How the ids of findings of the link check begin."""


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
        if not pep440.is_version(version)
    ]


EXTERNAL, ROSETTA, TWICE = "externally-managed-python", "python-under-rosetta", "installed-twice"
NO_PIP, EDITABLE = "no-pip", "editable-install"
LOCKED, LOCK_DIFFERS = "lock-undoes-installs", "lock-differs"
REPLACED, EDITED = "loader-loop-replaced", "accelerate-edited"
ENVIRONMENT_IDS = (
    EXTERNAL,
    ROSETTA,
    TWICE,
    NO_PIP,
    EDITABLE,
    LOCKED,
    LOCK_DIFFERS,
    REPLACED,
    EDITED,
)
"""The ids that findings about how an environment is managed can have."""

_PACKAGING = "https://packaging.python.org/en/latest/"


def of_environment(
    manager: Manager,
    interpreter: Interpreter,
    installed: Mapping[str, str],
    locked: Mapping[str, Collection[str]],
) -> list[Finding]:
    """Return the findings about how an environment is managed.

    ``locked`` has the versions that its lock file has of each package.
    """
    found = []
    if manager.rosetta:
        found.append(
            environment(
                ROSETTA,
                "warning",
                "This Python is built for Intel and runs under Rosetta: torch has no MPS in it",
                f"{manager.python} runs as {interpreter.machine}",
                "a Python for arm64",
                "https://developer.apple.com/documentation/apple-silicon/about-the-rosetta-translation-environment",
                fix="uv venv --python cpython-3.12-macos-aarch64-none",
            )
        )
    found += _twice(manager, interpreter.installs)
    differing = [
        f"{name} {installed[name]} (locked: {', '.join(sorted(locked[name]))})"
        for name in locked
        if name in installed and installed[name] not in locked[name]
    ]
    if manager.undone_by and differing:
        found.append(
            environment(
                LOCK_DIFFERS,
                "warning",
                f"The next `{manager.undone_by}` installs other versions than these: its lock file"
                " has others",
                ", ".join(differing),
                "the versions of the lock file, or a changed lock file",
                _LOCK_LINK,
            )
        )
    elif manager.undone_by:
        found.append(
            environment(
                LOCKED,
                "info",
                f"What pip installs here, the next `{manager.undone_by}` undoes: change the project"
                " instead",
                f"{manager.kind}, {manager.lock}",
                " ".join(managers.install_command(manager, ["PACKAGE"])),
                _LOCK_LINK,
            )
        )
    if manager.externally_managed:
        found.append(
            environment(
                EXTERNAL,
                "info",
                "This Python belongs to the operating system, which refuses installs into it",
                manager.python,
                managers.advice(manager),
                _PACKAGING + "specifications/externally-managed-environments/",
            )
        )
    elif not manager.has_pip and manager.kind not in managers.LOCKED:
        found.append(
            environment(
                NO_PIP,
                "info",
                "There is no pip in this environment, so `pip install` changes another one",
                managers.describe(manager),
                " ".join(managers.install_command(manager, ["PACKAGE"])),
                "https://docs.astral.sh/uv/pip/environments/",
            )
        )
    editable = {
        each.name: each.editable
        for each in interpreter.installs
        if each.editable and each.name != "metalassay"
    }
    if editable:
        found.append(
            environment(
                EDITABLE,
                "info",
                "Installed from a folder that may change: its version says little about its code",
                ", ".join(f"{name} from {source}" for name, source in editable.items()),
                "a release",
                "https://setuptools.pypa.io/en/latest/userguide/development_mode.html",
            )
        )
    return found


INFO = ".dist-info"
_LOCK_LINK = "https://docs.astral.sh/uv/concepts/projects/sync/"


def _twice(manager: Manager, installs: Iterable[Install]) -> list[Finding]:
    """Return a finding if a package is installed twice: by chance one is used, or one hides the other."""
    by_name: dict[str, list[Install]] = {}
    for each in installs:
        if each.version:
            by_name.setdefault(each.name, []).append(each)
    doubtful: list[str] = []
    hidden: list[str] = []
    for name, places in by_name.items():
        first = places[0].folder
        same = sum(place.folder == first for place in places) > 1
        described = [p.metadata for p in places if p.folder == first and p.metadata.endswith(INFO)]
        if len({place.version for place in places}) < 2 and len(described) < 2:
            continue
        text = f"{name} " + " and ".join(
            f"{place.version} in {Path(place.folder, place.metadata if same else '')}"
            for place in places
        )
        inside = first.startswith(str(manager.prefix)) or not manager.in_venv
        (hidden if inside and not same else doubtful).append(text)
    return [
        environment(
            TWICE,
            severity,
            title,
            "; ".join(texts),
            "one install of each package",
            _PACKAGING + "tutorials/installing-packages/",
        )
        for severity, title, texts in (
            (
                "warning",
                "Two versions of a package are installed: which one runs is chance",
                doubtful,
            ),
            ("info", "A package is installed twice; the first one found is used", hidden),
        )
        if texts
    ]


def environment(
    finding_id: str,
    severity: str,
    title: str,
    observed: str,
    expected: str,
    link: str,
    *,
    fix: str = "",
) -> Finding:
    """Return a finding about the environment."""
    return Finding(
        id=finding_id,
        kind=ENVIRONMENT,
        severity=severity,
        title=title,
        observed=observed,
        expected=expected,
        fix=fix,
        link=link,
    )


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
    probe.UNFINISHED: _MpsState(
        "torch-did-not-finish",
        "warning",
        "an import of torch within the time",
        "https://github.com/Canner/WrenAI/pull/2354",
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


def _bug(
    bug: bugs.Bug,
    installed: Mapping[str, str],
    masks: Collection[str],
    system: str,
    plan: fix_plan.Plan,
) -> Finding:
    if bug.id in plan.fixes:
        own = tuple(change for change in plan.changes if bug.id in change.fixes)
        changes = own or plan.changes  # fixed by all of them together
    else:
        changes = fix_plan.changes_for(bug, installed)
    fixable = "error" if bug.id in masks else "warning"
    keeping = (str(fix) for fix in bug.fixes if not fix.install)
    return Finding(
        id=bug.id,
        kind=BUG,
        severity="error" if bug.stops else fixable if changes else "info",
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
        entry=bug.entry,
        stops=bug.stops,
        reports=bug.reports,
        needs=bug.needs,
        here=bug.needs != bugs.MPS or system in ("", "Darwin"),
    )


def _is_reported(answer: Probe, system: str) -> bool:
    if answer.state == probe.NO_TORCH:
        return answer.torch is not None
    return answer.state != probe.NOT_BUILT or system == "Darwin"


def _mps_state(answer: Probe, fix: str) -> Finding:
    state = _BY_STATE[answer.state]
    if answer.state == probe.UNFINISHED and answer.timed_out:
        fix = f"metalassay doctor --timeout {3 * answer.timed_out:g}"
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
