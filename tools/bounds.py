"""List the rows of the matrix that pin each bound of bugs/data/, from the verdict files in reports/.

Moving a bound by one release puts that release on its other side. That turns a verdict red exactly
when a row has that release, the rest of the range matches there, and a test of the symptom really
ran: its outcome then contradicts the data. A bound without such a row on one side could be off by
one release unnoticed. Run it after `nox -t full`; it lists releases with pip.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from packaging.specifiers import Specifier
from packaging.version import Version
from tabulate import tabulate

from metalassay import bugs
from metalassay.diagnosis import bisect
from metalassay.results import load
from metalassay.results.verdict_file import VersionSet

ROOT = Path(__file__).parents[1]
RAN = frozenset({"passed", "failed", "xfailed", "xpassed"})
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@functools.cache
def releases(package: str) -> tuple[str, ...]:
    """Return the releases of a package, oldest first."""
    return PYTHONS if package == "python" else tuple(bisect.releases_of(package))


def edges(package: str, bound: Specifier) -> Iterator[tuple[str, str]]:
    """Yield the pairs of neighbouring releases between which a bound lies."""
    for before, after in pairwise(releases(package)):
        if bound.contains(before, prereleases=True) != bound.contains(after, prereleases=True):
            yield before, after


def fits(
    have: Mapping[str, str], symptom: bugs.Symptom, package: str, index: int, release: str
) -> bool:
    """Return whether moving the bound past ``release`` changes what is expected of these versions."""
    if package not in have or Version(have[package]).public != Version(release).public:
        return False
    # Where another alternative applies too, this one does not change the result.
    return all(
        all(
            name in have and specifiers.contains(have[name], prereleases=True)
            for name, specifiers in alternative.items()
            if not (number == index and name == package)
        )
        == (number == index)
        for number, alternative in enumerate(symptom.where)
    )


def holder(
    sets: Sequence[VersionSet], bug: bugs.Bug, symptom: bugs.Symptom, place: tuple[str, int, str]
) -> str:
    """Return the row that would contradict the data, or the reason why none can, or "no row"."""
    why = "no row"
    for version_set in sets:
        if not fits(version_set.versions, symptom, *place):
            continue
        tests = [
            test
            for result in version_set.bugs
            if result.id == bug.id
            for test in result.tests
            if test.symptom == symptom.id and test.upstream == "stock"
        ]
        if any(test.outcome in RAN for test in tests):
            return version_set.id
        if tests:
            why = f"skipped ({tests[0].evidence})"
    return why


def rows(sets: Sequence[VersionSet]) -> Iterator[tuple[str, str, str, str]]:
    """Yield symptom, bound, and the row that pins it for the release before and the one after."""
    for bug in bugs.load():
        if bug.reported_only:
            continue  # its ranges are the reporters'
        for symptom in bug.symptoms:
            for index, alternative in enumerate(symptom.where):
                for package, specifiers in alternative.items():
                    for bound in sorted(specifiers, key=str, reverse=True):
                        for edge in edges(package, bound):
                            before, after = (
                                f"{release}: {holder(sets, bug, symptom, (package, index, release))}"
                                for release in edge
                            )
                            yield f"{bug.id}/{symptom.id}", f"{package} {bound}", before, after


def main() -> None:
    """Print the table, and how many bounds are pinned on both sides."""
    loaded = load.load([ROOT / "reports" / "compat"])
    if loaded.warnings or not loaded.compat:
        sys.exit("\n".join(loaded.warnings) or "there are no verdict files; first run: nox -t full")
    bounds = list(rows(loaded.compat))
    open_sides = [row for row in bounds if any(side.endswith("no row") for side in row[2:])]
    untestable = [row for row in bounds if any("skipped (" in side for side in row[2:])]
    shown = open_sides if "--open" in sys.argv else bounds
    print(tabulate(shown, headers=("symptom", "bound", "before", "after"), tablefmt="pipe"))
    pinned = [row for row in bounds if row not in open_sides and row not in untestable]
    print(
        f"\n{len(bounds)} bounds: {len(pinned)} are pinned by a row on both sides,"
        f" {len(untestable)} are next to a release where the test cannot run (with its reason),"
        f" {len(open_sides)} have no row on one side"
    )


if __name__ == "__main__":
    main()
