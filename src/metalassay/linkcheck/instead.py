"""Which release of one package to install instead, so that nothing known stops any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay.linkcheck import atlas
from metalassay.linkcheck.breaks import Break


@dataclass(frozen=True)
class Change:
    """One package at another release, with which no break is known that stops."""

    package: str
    version: str

    @property
    def requirement(self) -> str:
        """Return it as pip takes it."""
        return f"{self.package}=={self.version}"


def changes(each: Break, installed: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the nearest releases of the provider, then of the caller, that remove a break.

    The rest of the set stays as it is. Nothing that breaks a requirement of the metadata which now
    holds is offered, and nothing at all where no single package helps.
    """
    there = {str(canonicalize_name(name)): version for name, version in installed.items()}
    before = {(b.caller, b.provider) for b in atlas.known_breaks(there) if b.kind == "metadata"}
    found = []
    for package, version in (
        (each.provider, each.provider_version),
        (each.caller, each.caller_version),
    ):
        for candidate in _nearest(package, version):
            after = atlas.known_breaks({**there, package: candidate})
            metadata = {
                (b.caller, b.provider) for b in after if b.kind == "metadata" and not b.note
            }
            if not any(b.stops for b in after) and metadata <= before:
                found.append(Change(package, candidate))
                break
    return tuple(found)


def _nearest(package: str, version: str) -> Iterator[str]:
    """Yield the known releases of a package, the nearest first, newer ones before older ones."""
    releases = [each for each in atlas.checked().get(package, ()) if each != version]
    newer = [each for each in releases if Version(each) > Version(version)]
    older = [each for each in reversed(releases) if Version(each) < Version(version)]
    yield from newer
    yield from older
