"""Compute which upgrades would fix the known bugs that apply, from the bugs' own version ranges.

No package index is queried, so a fix is a range of versions that the data call healthy. Whether it
can be installed beside everything else is left to the installer.
"""

from __future__ import annotations

import functools
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from metalassay import bugs
from metalassay.environment.versions import MACHINE
from metalassay.mps.probe import os_floors

COMPANIONS = ("torchvision", "torchaudio")
"""Packages that are built for one torch and must move with it."""

_MOST_STEPS = 100


@dataclass(frozen=True)
class Change:
    """A change of one package: its requirement, and the version assumed afterwards (None: unknown)."""

    package: str
    requirement: str
    version: str | None


@dataclass(frozen=True)
class Plan:
    """The requirements to install together, and the ids of the known bugs that this affects.

    ``fixes`` no longer apply afterwards; ``brings`` apply afterwards and did not before; ``remains``
    can be fixed individually, but not together with the others.
    """

    requirements: tuple[str, ...]
    fixes: tuple[str, ...]
    brings: tuple[str, ...]
    remains: tuple[str, ...]


def changes_for(bug: bugs.Bug, installed: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the smallest change that fixes a bug, or nothing where no change of version does.

    An upgrade within the major version is preferred, then a downgrade if it is the bug's first fix,
    then any upgrade. The minimum versions of other packages in the first fix are added.
    """
    upgrades = []
    for package in dict.fromkeys(name for where in bug.where for name in where):
        current = _version(installed.get(package))
        if current is None or package in MACHINE | {"metalassay"}:
            continue
        healthy = (
            version
            for version in _bounds(package)
            if version > current
            and not _hits(bug, installed, package, version)
            and _runs(package, version, installed)
        )
        nearest = next(healthy, None)
        if nearest is not None:
            upgrades.append((nearest.major != current.major, package, nearest))
    upgrades.sort(key=lambda upgrade: upgrade[0])  # stable: the order of the row decides a tie
    first_fix = bug.fixes[0].requirements()
    downgrade = next((each for each in first_fix if _is_downgrade(each)), None)
    if downgrade and (not upgrades or upgrades[0][0]):
        return (Change(downgrade.name, str(downgrade), None),)
    if not upgrades:
        return ()
    _, package, version = upgrades[0]
    others = [
        _raised(other, least)
        for other, least in _minimums(first_fix)
        if other != package
        and _older(installed.get(other), least)
        and _runs(other, least, installed)
    ]
    return (_raised(package, version), *others)


def plan(installed: Mapping[str, str], ignored: Sequence[str] = ()) -> Plan:
    """Return the smallest changes that together fix what can be fixed, ``ignored`` ids aside.

    Apart from downgrades, a package is only ever raised; bugs that one step brings are fixed by the
    next steps where that is possible.
    """
    known = [bug for bug in bugs.load() if bug.id not in ignored]
    now, changes = dict(installed), dict[str, Change]()
    before = {bug.id for bug in known if bug.hits(now)}
    wanted = [change for bug in known if bug.hits(now) for change in changes_for(bug, now)]
    fixable = {bug.id for bug in known if bug.hits(now) and changes_for(bug, now)}
    for _ in range(_MOST_STEPS):
        moved = [change for change in wanted if _moves(change, now, changes)]
        for change in moved:
            if _moves(change, now, changes):
                changes[change.package] = change
                _take(change, now)
        if not moved:
            break
        wanted = [change for bug in known if bug.hits(now) for change in changes_for(bug, now)]
    after = {bug.id for bug in known if bug.hits(now)}
    companions = [name for name in COMPANIONS if name in installed and "torch" in changes]
    return Plan(
        requirements=(*(change.requirement for change in changes.values()), *companions),
        fixes=_ordered(before - after),
        brings=_ordered(after - before),
        remains=_ordered(fixable & after),
    )


def command(requirements: Sequence[str], python: str) -> list[str]:
    """Return the install command as a list of words, using uv if it is available, otherwise pip."""
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--python", python, *requirements]
    return [python, "-m", "pip", "install", *requirements]


def as_shell(words: Sequence[str]) -> str:
    """Return a command quoted for a shell."""
    return shlex.join(words)


def _raised(package: str, version: Version) -> Change:
    padded = ".".join(map(str, (*version.release, 0, 0)[:3]))
    return Change(package, f"{package}~={padded}", padded)


def _is_downgrade(requirement: Requirement) -> bool:
    operators = {specifier.operator for specifier in requirement.specifier}
    return bool(operators) and operators <= {"<", "<="}


def _minimums(requirements: Sequence[Requirement]) -> list[tuple[str, Version]]:
    """Return the name and the lower bound of each requirement that has one."""
    return [
        (requirement.name, Version(specifier.version))
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]


def _moves(change: Change, now: Mapping[str, str], changes: Mapping[str, Change]) -> bool:
    """Return whether a change goes beyond those already chosen: upwards, or a first downgrade."""
    decided = changes.get(change.package)
    if decided is not None and decided.version is None:
        return False
    return change.version is None or _older(now.get(change.package), Version(change.version))


def _take(change: Change, now: dict[str, str]) -> None:
    if change.version is None:
        # The version is unknown below the bound, so no bug is assumed to apply.
        now.pop(change.package, None)
    else:
        now[change.package] = change.version


def _older(current: str | None, least: Version) -> bool:
    version = _version(current)
    return version is not None and version < least


def _hits(bug: bugs.Bug, installed: Mapping[str, str], package: str, version: Version) -> bool:
    return bug.hits({**installed, package: str(version)})


def _runs(package: str, version: Version, installed: Mapping[str, str]) -> bool:
    """Return whether this machine and this Python can run it; the data know that for torch only."""
    python, macos = installed.get("python"), installed.get("macos")
    return package != "torch" or os_floors.runs(str(version), macos, python)


@functools.cache
def _bounds(package: str) -> tuple[Version, ...]:
    """Return every version of a package that is a bound of some bug, in ascending order."""
    bounds = {
        Version(Version(specifier.version).base_version)
        for bug in bugs.load()
        for where in bug.where
        for specifier in where.get(package, ())
        if not specifier.version.endswith(".*")
    }
    return tuple(sorted(bounds))


def _ordered(ids: set[str]) -> tuple[str, ...]:
    return tuple(bug.id for bug in bugs.load() if bug.id in ids)


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None
