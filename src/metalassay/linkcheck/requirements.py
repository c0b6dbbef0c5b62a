"""What each release requires of the others: its metadata, and what it tests when it runs.

The data was read from the wheels by ``tools/link_atlas.py``, so a set of versions can be judged that
is not installed, and without a network.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay.bugs import api_history
from metalassay.linkcheck.breaks import CERTAIN, POSSIBLE, Break
from metalassay.linkcheck.floors import IMPORT, Floor

_FILE = resources.files(__package__).joinpath("data").joinpath("requirements.json.gz")

EXTRAS = {"transformers": ("torch",), "trl": ("peft",)}
"""Extras whose floors are kept as well: what their packages need to be used together at all."""


@functools.cache
def _data() -> Mapping[str, Any]:
    return json.loads(gzip.decompress(_FILE.read_bytes())) if _FILE.is_file() else {}


def packages() -> tuple[str, ...]:
    """Return the packages whose requirements are known."""
    return tuple(_data())


def releases(package: str) -> tuple[str, ...]:
    """Return the releases of a package whose requirements are known, the oldest first."""
    return tuple(_data().get(canonicalize_name(package), {}).get("releases", ()))


def of(package: str, version: str) -> tuple[str, ...]:
    """Return the Requires-Dist of a release among the stack, as in ``("accelerate>=1.4.0", …)``.

    Its Requires-Python is "python>=3.9". A version that is not listed is taken as the nearest older
    release; nothing is returned for a package or a version that is not known.
    """
    return tuple(each for each in _at(package, version, "requires") if "extra ==" not in each)


def of_extras(package: str, version: str) -> tuple[str, ...]:
    """Return the requirements of the extras in ``EXTRAS``, with their markers."""
    return tuple(each for each in _at(package, version, "requires") if "extra ==" in each)


def floors_of(package: str, version: str) -> tuple[Floor, ...]:
    """Return what a release tests when it runs."""
    return tuple(
        Floor(requirement, entry)
        for each in _at(package, version, "floors")
        for entry, requirement in [each.split(" ", 1)]
    )


def _at(package: str, version: str, part: str) -> tuple[str, ...]:
    known = _data().get(canonicalize_name(package))
    if known is None:
        return ()
    index = api_history.indices(tuple(known["releases"]), version)
    if not index:
        return ()
    return tuple(text for text, changes in known[part].items() if _present(changes, index[0]))


def _present(changes: Sequence[int], index: int) -> bool:
    return sum(change <= index for change in changes) % 2 == 1


@functools.lru_cache(4096)
def _parsed(requirement: str) -> Requirement | None:
    try:
        return Requirement(requirement)
    except InvalidRequirement:
        return None


def violations(installed: Mapping[str, str]) -> Iterator[Break]:
    """Yield what a set of versions does against metadata and floors; names as on the package index."""
    there = {str(canonicalize_name(name)): version for name, version in installed.items()}
    for caller in packages():
        if caller not in there:
            continue
        version = there[caller]
        for floor in floors_of(caller, version):
            yield from _judged(
                caller, version, there, floor.requirement, "floor",
                where=f"{caller}/{_PLACES.get(floor.entry, '')}", entry=floor.entry,
            )  # fmt: skip
        tested = {_name(floor.requirement) for floor in floors_of(caller, version)}
        for requirement in of(caller, version):
            if _name(requirement) not in tested:
                yield from _judged(
                    caller, version, there, requirement, "metadata", where="METADATA"
                )
        for requirement in of_extras(caller, version):
            if _name(requirement) not in tested:
                yield from _judged(
                    caller, version, there, requirement, "metadata", where="METADATA",
                    note="required by the extra only",
                )  # fmt: skip


_PLACES = {IMPORT: "dependency_versions_check.py", "Trainer": "training_args.py"}


def _name(requirement: str) -> str:
    found = _parsed(requirement)
    return str(canonicalize_name(found.name)) if found else ""


def _judged(
    caller: str, version: str, there: Mapping[str, str], text: str, kind: str, *, where: str,
    entry: str = "", note: str = "",
) -> Iterator[Break]:  # fmt: skip
    requirement = _parsed(text)
    if requirement is None:
        return
    provider = str(canonicalize_name(requirement.name))
    present = there.get(provider)
    if present is None:
        return
    try:
        allowed = requirement.specifier.contains(Version(present), prereleases=True)
    except ValueError:
        return
    if allowed:
        return
    stops = kind == "floor"
    yield Break(
        caller=caller,
        caller_version=version,
        provider=provider,
        provider_version=present,
        kind=kind,
        what=f"{requirement.name}{requirement.specifier}",
        where=where,
        entry=entry,
        stops=stops,
        confidence=CERTAIN if stops else POSSIBLE,
        changed=caller,
        since=_since(caller, version, text),
        note=note,
    )


def _since(package: str, version: str, text: str) -> str:
    """Return the first release of the stretch around ``version`` that has a requirement."""
    known = _data()[str(canonicalize_name(package))]
    releases = known["releases"]
    index = api_history.indices(tuple(releases), version)[0]
    for part, key in (("requires", text), ("floors", None)):
        for each, changes in known[part].items():
            if (each == key or (key is None and each.endswith(f" {text}"))) and _present(
                changes, index
            ):
                return str(releases[max(change for change in changes if change <= index)])
    return ""
