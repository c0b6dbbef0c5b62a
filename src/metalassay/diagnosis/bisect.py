"""Finds the releases between which a bug appears or goes, by running its tests on them.

Only one package changes: each release is put, without its dependencies, in front of an environment
that has everything else, and the bug's tests in compat/ run there. What the data says plays no part
in the search; it is held against the result afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from metalassay import bugs
from metalassay.bugs import Bug
from metalassay.environment import versions
from metalassay.errors import UserError

BROKEN, HEALTHY, UNKNOWN = "broken", "healthy", "not tested"


@dataclass(frozen=True)
class Boundary:
    """Two neighbouring releases of which one is broken and the other healthy, in order."""

    before: str
    after: str
    before_state: str
    after_state: str


@dataclass(frozen=True)
class Finding:
    """What was run, release by release, the boundaries found, and where the data says otherwise."""

    bug: str
    package: str
    states: dict[str, str]
    boundaries: tuple[Boundary, ...]
    contradictions: tuple[str, ...]


def search(
    releases: Sequence[str], state: Callable[[str], str], probes: Sequence[str] = ()
) -> dict[str, str]:
    """Run ``state`` on as few releases as it takes to place every change between the probes.

    Starts with the first, the last and every release named in ``probes``, then halves each stretch
    whose ends differ; one that cannot be tested is passed over. A bug that comes and goes between two probes
    that agree is not seen; that is what probes are for.
    """
    known: dict[str, str] = {}

    def ask(index: int) -> str:
        release = releases[index]
        if release not in known:
            known[release] = state(release)
        return known[release]

    def halve(low: int, high: int) -> None:
        if ask(low) == ask(high):
            return
        # Nearest to the middle; one that cannot be tested says nothing about its neighbours.
        inside = sorted(range(low + 1, high), key=lambda i: abs(2 * i - low - high))
        middle = next((i for i in inside if ask(i) != UNKNOWN), None)
        if middle is not None:
            halve(low, middle)
            halve(middle, high)

    ends = sorted({0, len(releases) - 1, *(releases.index(p) for p in probes if p in releases)})
    for low, high in itertools.pairwise(ends):
        halve(low, high)
    return {release: known[release] for release in releases if release in known}


def boundaries(releases: Sequence[str], states: dict[str, str]) -> tuple[Boundary, ...]:
    """Return the changes between neighbours among the releases that could be tested."""
    tested = [release for release in releases if states.get(release) in (BROKEN, HEALTHY)]
    return tuple(
        Boundary(before, after, states[before], states[after])
        for before, after in itertools.pairwise(tested)
        if states[before] != states[after]
    )


def contradictions(
    bug: Bug, package: str, installed: dict[str, str], states: dict[str, str]
) -> tuple[str, ...]:
    """Hold what was run against what bugs/data/ says, beside the other versions installed."""
    said = {
        release: BROKEN if bug.hits({**installed, package: release}) else HEALTHY
        for release in states
    }
    return tuple(
        f"{package} {release}: known_bugs says {said[release]}, but it ran {found}"
        for release, found in states.items()
        if found != UNKNOWN and found != said[release]
    )


def bisect(
    root: Path,
    bug_id: str,
    package: str | None,
    first: str | None,
    last: str | None,
    progress: Callable[[str, str], None],
) -> Finding:
    """Search the releases of ``package`` from ``first`` to ``last`` (default: all on the index).

    ``progress`` is told each release as it has been run. The bounds that the data names are probed
    on both sides, so that a bug with two ends is found whole. Raises ``UserError`` for an unknown
    bug or package, or outside a checkout.
    """
    if not (root / "compat" / "conftest.py").exists():
        raise UserError("there is no compat/ here", "run from a checkout of metalassay")
    try:
        bug = bugs.get(bug_id)
    except KeyError as error:
        raise UserError(str(error.args[0]), "metalassay explain --list") from None
    package = package or next(iter(bug.where[0]))
    choices = sorted(bug.packages - versions.MACHINE)
    if package not in choices:
        raise UserError(f"{bug_id} does not depend on {package}", f"one of: {', '.join(choices)}")
    releases = [
        release
        for release in releases_of(package)
        if (first is None or Version(release) >= Version(first))
        and (last is None or Version(release) <= Version(last))
    ]
    if len(releases) < 2:
        raise UserError(
            f"there are not two releases of {package} to search", "widen --from and --to"
        )

    def state(release: str) -> str:
        found = run_release(root, bug, package, release)
        progress(release, found)
        return found

    states = search(releases, state, probes(bug, package, releases))
    installed = versions.installed()
    return Finding(
        bug_id,
        package,
        states,
        boundaries(releases, states),
        contradictions(bug, package, installed, states),
    )


def probes(bug: Bug, package: str, releases: Sequence[str]) -> list[str]:
    """Return the releases at which the data says that something changes, and their neighbours."""
    inside = [bug.hits({**versions.installed(), package: release}) for release in releases]
    changes = [i for i in range(1, len(releases)) if inside[i] != inside[i - 1]]
    return [releases[j] for i in changes for j in (i - 1, i)]


def as_text(finding: Finding) -> str:
    """Lay a finding out for a terminal."""
    lines = [f"{release:>12}  {state}" for release, state in finding.states.items()]
    lines += [
        f"{finding.package} {each.before} is {each.before_state}, {each.after} is {each.after_state}"
        for each in finding.boundaries
    ] or [f"no change between the releases of {finding.package} that were run"]
    lines += finding.contradictions or ["known_bugs says the same."]
    return "\n".join(lines)


def releases_of(package: str) -> list[str]:
    """Return all final releases of a package on the configured index, oldest first.

    Raises ``UserError`` when pip cannot tell.
    """
    command = ["pip", "index", "versions", package]
    for pip in ([sys.executable, "-m", *command], command):
        try:
            text = subprocess.run(  # noqa: S603  (pip itself, no shell)
                pip, capture_output=True, text=True, check=True, timeout=120
            ).stdout
            break
        except (OSError, subprocess.SubprocessError):
            continue
    else:
        raise UserError(
            f"pip could not list the releases of {package}",
            "python3 -m pip index versions " + package,
        )
    found = re.search(r"^Available versions: (.+)$", text, re.MULTILINE)
    versions = []
    for word in (found[1] if found else "").split(", "):
        try:
            versions.append(Version(word))
        except InvalidVersion:
            continue
    return [str(v) for v in sorted(versions) if not v.is_prerelease]


def run_release(root: Path, bug: Bug, package: str, release: str) -> str:
    """Run the bug's tests with one release of ``package`` in front; return broken, healthy or not tested.

    Uses this interpreter's environment for everything else.
    """
    with tempfile.TemporaryDirectory(prefix="metalassay-bisect-") as folder:
        overlay, verdicts = Path(folder, "overlay"), Path(folder, "verdicts.json")
        if not _install(f"{package}=={release}", overlay):
            return UNKNOWN
        subprocess.run(  # noqa: S603  (this interpreter, no shell)
            [
                sys.executable,
                "-m",
                "pytest",
                "compat",
                "--bug",
                bug.id,
                "--verdicts",
                str(verdicts),
                "-q",
                "-p",
                "no:cacheprovider",
            ],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(overlay)},
            capture_output=True,
            check=False,
        )
        if not verdicts.exists():
            return UNKNOWN
        record = json.loads(verdicts.read_text("utf-8"))
    if record["versions"].get(package) != release:
        return UNKNOWN
    return state_of(record["bugs"])


def state_of(records: Sequence[dict[str, Any]]) -> str:
    """Read from a verdict file whether the bug's stock tests failed, whatever the data expected."""
    outcomes = {
        test["outcome"]
        for record in records
        for test in record["tests"]
        if test["upstream"] == "stock" and test["symptom"] is not None
    }
    if outcomes & {"failed", "xfailed"}:
        return BROKEN
    return HEALTHY if outcomes & {"passed", "xpassed"} else UNKNOWN


def _install(requirement: str, target: Path) -> bool:
    uv = ["uv", "pip", "install", "--python", sys.executable]
    for installer in (uv, [sys.executable, "-m", "pip", "install"]):
        command = [*installer, "--quiet", "--no-deps", "--target", str(target), requirement]
        try:
            subprocess.run(command, capture_output=True, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError):
            continue
        return True
    return False
