"""Reads versions that somebody else wrote: damaged metadata and typing errors are no versions."""

from __future__ import annotations

from packaging.version import Version


def version_of(text: str | None) -> Version | None:
    """Return a version, or None for one that is missing or that PEP 440 or Python cannot read."""
    try:
        return Version(text) if text else None
    except ValueError:  # InvalidVersion is one, and so is a number of more digits than Python reads
        return None


def is_version(text: str) -> bool:
    """Return whether a text can be read as a version, and so be compared with others."""
    return version_of(text) is not None
