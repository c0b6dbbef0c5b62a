"""Which patches the versions of an environment need, from the rows of the known bugs alone.

What `metalassay run --list-patches` prints. A patch itself decides by the code that is installed; this
needs neither that code nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metalassay.bugs.catalogue import Bug, get, load


@dataclass(frozen=True)
class Need:
    """One patch, the bug that it fixes, whether the versions have the bug, and why that is so.

    ``needed`` is None where it cannot be said: a package of the bug is not installed.
    """

    patch: str
    bug: str
    needed: bool | None
    why: str


def needed(versions: Mapping[str, str]) -> list[Need]:
    """Return what is known of each patch; ``versions`` maps the packages to their versions."""
    return [_need(bug, versions) for bug in load() if bug.patch is not None]


def _need(bug: Bug, versions: Mapping[str, str]) -> Need:
    assert bug.patch is not None  # noqa: S101
    missing = sorted(bug.packages - versions.keys())
    if bug.hits(versions):
        return Need(bug.patch, bug.id, True, f"{_installed(bug, versions)}: {bug.title}")
    if bug.brought_by and get(bug.brought_by).hits(versions):
        why = f"{_installed(bug, versions)}: the patch of {bug.brought_by} brings it, as upstream's fix does"
        return Need(bug.patch, bug.id, True, why)
    if missing:
        return Need(bug.patch, bug.id, None, f"{', '.join(missing)} is not installed")
    why = f"{_installed(bug, versions)} is healthy; affected is {bug.where_text()}"
    return Need(bug.patch, bug.id, False, why)


def _installed(bug: Bug, versions: Mapping[str, str]) -> str:
    packages = sorted(bug.packages & versions.keys())
    return ", ".join(f"{package} {versions[package]}" for package in packages)
