"""Find the releases between which a bug appears or disappears, by running its tests on them.

Only one package changes: each release is installed without its dependencies and put in front of an
environment that has everything else; the bug's tests in compat/ run there. The catalogue only chooses
releases to start with, and is compared with the result afterwards.
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

from packaging.version import Version

from metalassay import bugs
from metalassay.bugs import Bug
from metalassay.environment import versions
from metalassay.errors import UserError

BROKEN, HEALTHY, UNKNOWN = "broken", "healthy", "not tested"


@dataclass(frozen=True)
class Boundary:
    """Two neighbouring releases, in order, of which one is broken and the other healthy."""

    before: str
    after: str
    before_state: str
    after_state: str


@dataclass(frozen=True)
class Finding:
    """The state of each release that was run, the boundaries, and contradictions to the catalogue."""

    bug: str
    package: str
    states: dict[str, str]
    boundaries: tuple[Boundary, ...]
    contradictions: tuple[str, ...]


def search(
    releases: Sequence[str], state: Callable[[str], str], probes: Sequence[str] = ()
) -> dict[str, str]:
    """Return the state of as few releases as are needed to locate every change between the probes.

    Starts with the first, the last and every release in ``probes``, then bisects each interval whose
    ends differ. Releases that cannot be tested are skipped. A bug that appears and disappears between
    two probes in the same state is not found; add a probe inside it.
    """
    known: dict[str, str] = {}

    def state_at(index: int) -> str:
        release = releases[index]
        if release not in known:
            known[release] = state(release)
        return known[release]

    def bisect_between(low: int, high: int) -> None:
        if state_at(low) == state_at(high):
            return
        # The release nearest to the middle that can be tested.
        inside = sorted(range(low + 1, high), key=lambda i: abs(2 * i - low - high))
        middle = next((i for i in inside if state_at(i) != UNKNOWN), None)
        if middle is not None:
            bisect_between(low, middle)
            bisect_between(middle, high)

    ends = sorted({0, len(releases) - 1, *(releases.index(p) for p in probes if p in releases)})
    for low, high in itertools.pairwise(ends):
        bisect_between(low, high)
    return {release: known[release] for release in releases if release in known}


def boundaries(releases: Sequence[str], states: dict[str, str]) -> tuple[Boundary, ...]:
    """Return the changes between neighbouring releases, those that could not be tested left out."""
    tested = [release for release in releases if states.get(release) in (BROKEN, HEALTHY)]
    return tuple(
        Boundary(before, after, states[before], states[after])
        for before, after in itertools.pairwise(tested)
        if states[before] != states[after]
    )


def contradictions(
    bug: Bug, package: str, installed: dict[str, str], states: dict[str, str]
) -> tuple[str, ...]:
    """Return one line per release whose state differs from the catalogue's.

    ``installed`` has the versions of the other packages.
    """
    expected = {
        release: BROKEN if bug.hits({**installed, package: release}) else HEALTHY
        for release in states
    }
    return tuple(
        f"{package} {release}: expected {expected[release]} by the catalogue, but it was {state}"
        for release, state in states.items()
        if state not in (UNKNOWN, expected[release])
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

    ``progress`` is called with each release and its state. The bounds in the catalogue are probed on
    both sides, so that a bug with two ends is found completely. Raises ``UserError`` for an unknown
    bug or package, or outside a checkout.
    """
    if not (root / "compat" / "conftest.py").exists():
        raise UserError(
            "this folder has no compat/conftest.py", "run the command in a checkout of metalassay"
        )
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
            f"there are fewer than two releases of {package} to search", "widen --from and --to"
        )

    def state(release: str) -> str:
        result = run_release(root, bug, package, release)
        progress(release, result)
        return result

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
    """Return the releases at which the catalogue has a bound, and the release before each."""
    affected = [bug.hits({**versions.installed(), package: release}) for release in releases]
    changes = [i for i in range(1, len(releases)) if affected[i] != affected[i - 1]]
    return [releases[j] for i in changes for j in (i - 1, i)]


def as_text(finding: Finding) -> str:
    """Format a finding for a terminal."""
    lines = [f"{release:>12}  {state}" for release, state in finding.states.items()]
    lines += [
        f"{finding.package} {boundary.before} is {boundary.before_state},"
        f" {boundary.after} is {boundary.after_state}"
        for boundary in finding.boundaries
    ] or [f"no change between the releases of {finding.package} that were tested"]
    lines += finding.contradictions or ["the catalogue of known bugs agrees"]
    return "\n".join(lines)


def releases_of(package: str) -> list[str]:
    """Return all final releases of a package on the configured index, oldest first.

    Raises ``UserError`` if pip cannot list them.
    """
    command = ["pip", "index", "versions", package]
    for pip in ([sys.executable, "-P", "-m", *command], command):
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
    line = re.search(r"^Available versions: (.+)$", text, re.MULTILINE)
    releases = []
    for word in (line[1] if line else "").split(", "):
        try:
            releases.append(Version(word))
        except ValueError:
            continue
    return [str(release) for release in sorted(releases) if not release.is_prerelease]


def run_release(root: Path, bug: Bug, package: str, release: str) -> str:
    """Run the bug's tests with one release of ``package``; return broken, healthy or not tested.

    Everything else comes from this interpreter's environment.
    """
    with tempfile.TemporaryDirectory(prefix="metalassay-bisect-") as folder:
        overlay, verdicts = Path(folder, "overlay"), Path(folder, "verdicts.json")
        if not _install(f"{package}=={release}", overlay):
            return UNKNOWN
        subprocess.run(  # noqa: S603  (this interpreter, no shell)
            [
                sys.executable,
                "-P",
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
        # One bug is a part of the suite, so that its verdict goes beside the file of the whole one.
        partial = verdicts.with_suffix(".partial")
        if not partial.exists():
            return UNKNOWN
        record = json.loads(partial.read_text("utf-8"))
    if record["versions"].get(package) != release:
        return UNKNOWN
    return state_of(record["bugs"])


def state_of(records: Sequence[dict[str, Any]]) -> str:
    """Return whether the bug's stock tests failed, from a verdict file's records.

    What the catalogue expected plays no part.
    """
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
    for installer in (uv, [sys.executable, "-P", "-m", "pip", "install"]):
        command = [*installer, "--quiet", "--no-deps", "--target", str(target), requirement]
        try:
            subprocess.run(command, capture_output=True, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError):
            continue
        return True
    return False
