"""Which upgrades would fix the known bugs that apply, computed from the bugs' own ranges.

Nothing is asked of a package index, so a fix is a range of versions that the data call healthy. What
an installer makes of it, with everything else that is installed, the installer decides.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from metalassay.bugs import catalogue as bugs
from metalassay.environment.versions import MACHINE
from metalassay.mps.probe import os_floors

COMPANIONS = ("torchvision", "torchaudio")
"""Packages that are built for one torch and must move with it."""

_DOWNGRADE = re.compile(r"pip install '([A-Za-z0-9_.-]+)(<[^']+)'")
_MINIMUM = re.compile(r"'([A-Za-z0-9_.-]+)>=([0-9.]+)'")
_MOST_STEPS = 100


@dataclass(frozen=True)
class Change:
    """One package to change, to what, and the version it is then taken to have (None: unknown)."""

    package: str
    requirement: str
    version: str | None


@dataclass(frozen=True)
class Plan:
    """The requirements to install together, and what that does to the known bugs, by id.

    ``fixes`` go; ``brings`` apply afterwards and did not before; ``remains`` could be fixed each by
    itself, and not together with the others.
    """

    requirements: tuple[str, ...]
    fixes: tuple[str, ...]
    brings: tuple[str, ...]
    remains: tuple[str, ...]


def changes_for(bug: bugs.Bug, installed: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the nearest change that takes a bug away, or nothing where none does.

    An upgrade inside the major version is preferred, then the downgrade that the bug's first fix
    names, then any upgrade. With it come the minimums that its first fix asks of other packages.
    """
    upgrades = []
    for package in dict.fromkeys(each for where in bug.where for each in where):
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
    named = _DOWNGRADE.match(bug.fixes[0])
    if named and (not upgrades or upgrades[0][0]):
        return (Change(named[1], f"{named[1]}{named[2]}", None),)
    if not upgrades:
        return ()
    _, package, version = upgrades[0]
    others = [
        _raised(other, Version(least))
        for other, least in _MINIMUM.findall(bug.fixes[0])
        if other != package
        and _older(installed.get(other), Version(least))
        and _runs(other, Version(least), installed)
    ]
    return (_raised(package, version), *others)


def plan(installed: Mapping[str, str], ignored: Sequence[str] = ()) -> Plan:
    """Return the changes that together fix what can be fixed; each is the nearest that does.

    A package is only ever raised, so what one step brings the next ones may fix. Takes the bugs as
    ``bugs.load`` has them, without the ``ignored`` ids.
    """
    known = [bug for bug in bugs.load() if bug.id not in ignored]
    now, changes = dict(installed), dict[str, Change]()
    before = {bug.id for bug in known if bug.hits(now)}
    wanted = [change for bug in known if bug.hits(now) for change in changes_for(bug, now)]
    curable = {bug.id for bug in known if bug.hits(now) and changes_for(bug, now)}
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
    companions = [each for each in COMPANIONS if each in installed and "torch" in changes]
    return Plan(
        requirements=(*(change.requirement for change in changes.values()), *companions),
        fixes=_ordered(before - after),
        brings=_ordered(after - before),
        remains=_ordered(curable & after),
    )


def command(requirements: Sequence[str], python: str) -> list[str]:
    """Return the words of the command that installs, with uv where there is one, else pip."""
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--python", python, *requirements]
    return [python, "-m", "pip", "install", *requirements]


def as_shell(words: Sequence[str]) -> str:
    """Return a command as a shell reads it."""
    return shlex.join(words)


def _raised(package: str, version: Version) -> Change:
    padded = ".".join(map(str, (*version.release, 0, 0)[:3]))
    return Change(package, f"{package}~={padded}", padded)


def _moves(change: Change, now: Mapping[str, str], changes: Mapping[str, Change]) -> bool:
    """Whether a change goes further than what is decided: upwards, and a downgrade once."""
    decided = changes.get(change.package)
    if decided is not None and decided.version is None:
        return False
    return change.version is None or _older(now.get(change.package), Version(change.version))


def _take(change: Change, now: dict[str, str]) -> None:
    if change.version is None:
        # Somewhere below a bound: no row is known to apply there.
        now.pop(change.package, None)
    else:
        now[change.package] = change.version


def _older(current: str | None, least: Version) -> bool:
    version = _version(current)
    return version is not None and version < least


def _hits(bug: bugs.Bug, installed: Mapping[str, str], package: str, version: Version) -> bool:
    return bug.hits({**installed, package: str(version)})


def _runs(package: str, version: Version, installed: Mapping[str, str]) -> bool:
    """Whether this machine and this Python can run it, as far as the data know: they do of torch."""
    python, macos = installed.get("python"), installed.get("macos")
    return package != "torch" or os_floors.runs(str(version), macos, python)


@functools.cache
def _bounds(package: str) -> tuple[Version, ...]:
    """Return every version of a package that some row names, ascending: there things change."""
    named = {
        Version(Version(specifier.version).base_version)
        for bug in bugs.load()
        for where in bug.where
        for specifier in where.get(package, ())
        if not specifier.version.endswith(".*")
    }
    return tuple(sorted(named))


def _ordered(ids: set[str]) -> tuple[str, ...]:
    return tuple(bug.id for bug in bugs.load() if bug.id in ids)


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None
