"""Which macOS each torch release needs for MPS. Reads os_floors.toml."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from metalassay import pep440


@dataclass(frozen=True)
class Floor:
    """What one range of torch versions needs; the comments of os_floors.toml explain the fields."""

    torch: SpecifierSet
    says: str
    needs: str
    wheel: str
    python: str
    source: str
    gpu_family: str | None = None


@functools.cache
def load() -> tuple[Floor, ...]:
    """Return all rows, in the order of the file."""
    text = resources.files(__package__).joinpath("os_floors.toml").read_text("utf-8")
    return tuple(
        Floor(**{**row, "torch": SpecifierSet(row["torch"])})
        for row in tomllib.loads(text)["floor"]
    )


def floor(torch: str | None) -> Floor | None:
    """Return what a torch version needs, or None if it is unknown or not covered by the data."""
    version = pep440.version_of(torch)
    if version is None:
        return None
    # A nightly of 2.15 is built from the code of 2.15, although PEP 440 sorts it before 2.15.
    return next((row for row in load() if row.torch.contains(version.base_version)), None)


def below(macos: str | None, floor: Floor | None) -> bool:
    """Return whether a macOS version is older than needed; an unknown version is not."""
    version = pep440.version_of(macos)
    return floor is not None and version is not None and version < Version(floor.needs)


def runs(torch: str, macos: str | None, python: str | None) -> bool:
    """Return whether a torch release and its MPS can work on this macOS and Python, as far as known."""
    needed, python_version = floor(torch), pep440.version_of(python)
    too_old = (
        needed is not None
        and python_version is not None
        and python_version < Version(needed.python)
    )
    return not too_old and not below(macos, needed)
