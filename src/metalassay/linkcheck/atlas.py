"""Which pairs of releases break, read from data that was made from the wheels of every release.

``tools/link_atlas.py`` writes the data. Nothing is read of what is installed but the versions.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from packaging.utils import canonicalize_name

from metalassay.bugs import api_history
from metalassay.linkcheck import guards, requirements
from metalassay.linkcheck.breaks import CERTAIN, LIKELY, POSSIBLE, Break, in_order
from metalassay.linkcheck.entries import is_ordinary

_FILE = resources.files(__package__).joinpath("data").joinpath("atlas.json.gz")


@functools.cache
def _data() -> Mapping[str, Any]:
    return json.loads(gzip.decompress(_FILE.read_bytes())) if _FILE.is_file() else {}


@functools.cache
def _rows() -> Mapping[tuple[str, str], list[Any]]:
    """Return the rows by caller and provider."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in _data().get("rows", ()):
        found.setdefault((row[0], row[1]), []).append(row)
    return found


def checked() -> Mapping[str, tuple[str, ...]]:
    """Return the releases of each package that were checked, against every release of the others."""
    return {package: tuple(each) for package, each in _data().get("checked", {}).items()}


def known_breaks(installed: Mapping[str, str]) -> tuple[Break, ...]:
    """Return the breaks of a set of versions by package, such as ``{"trl": "0.16.1", …}``.

    It is pure and reads no environment. A package that is newer than the data is judged as the
    newest release in it; a version that is not a version, or older than the data, as unknown.
    """
    there = {str(canonicalize_name(name)): version for name, version in installed.items()}
    return in_order(
        [
            *linked(there, there),
            *(each for each in requirements.violations(there)),
        ]
    )


def linked(callers: Mapping[str, str], providers: Mapping[str, str]) -> Iterator[Break]:
    """Yield what the releases of ``callers`` need and those of ``providers`` do not have."""
    for caller, releases in checked().items():
        at = api_history.indices(releases, callers[caller]) if caller in callers else ()
        if not at:
            continue
        for provider in checked():
            if provider != caller and provider in providers:
                yield from _pair(caller, callers[caller], at[0], provider, providers[provider])


def _pair(
    caller: str, caller_version: str, index: int, provider: str, provider_version: str
) -> Iterator[Break]:
    releases = checked()[provider]
    at = api_history.indices(releases, provider_version)
    if not at:
        return
    for _, _, kind, what, file, entry, strength, bad, has, runs in _rows().get(
        (caller, provider), ()
    ):
        if not all(_inside(bad, each) for each in at):
            continue
        line = _line(runs, index)
        if line is None:
            continue
        changed, since = _since(checked()[caller], runs, index, releases, bad, has, at[0])
        stops = is_ordinary(entry) and strength >= guards.UNSURE
        yield Break(
            caller=caller,
            caller_version=caller_version,
            provider=provider,
            provider_version=provider_version,
            kind=kind,
            what=what,
            where=f"{file}:{line}",
            entry=entry if strength else "",
            stops=stops,
            confidence=_confidence(strength) if stops else POSSIBLE,
            changed=caller if changed else provider,
            since=since,
            works=tuple((releases[first], releases[last]) for first, last in has),
        )


def _confidence(strength: int) -> str:
    return CERTAIN if strength == guards.SURE else LIKELY if strength == guards.UNSURE else POSSIBLE


def _inside(spans: Sequence[Sequence[int]], index: int) -> bool:
    return any(first <= index <= last for first, last in spans)


def _line(runs: Sequence[Sequence[int]], index: int) -> int | None:
    for first, *lines in runs:
        if first <= index < first + len(lines):
            return lines[index - first]
    return None


def _since(
    callers: Sequence[str], runs: Sequence[Sequence[int]], index: int, providers: Sequence[str],
    bad: Sequence[Sequence[int]], has: Sequence[Sequence[int]], at: int,
) -> tuple[bool, str]:  # fmt: skip
    """Return whether the caller changed last, and the release of it, or of the provider, that did.

    The provider dropped something that an older release of it had; otherwise the caller began to
    need what only newer releases of the provider have.
    """
    first = next(span[0] for span in bad if span[0] <= at <= span[1])
    if any(span[1] < first for span in has):
        return False, providers[first]
    begin = next(run[0] for run in runs if run[0] <= index < run[0] + len(run) - 1)
    return True, callers[begin]
