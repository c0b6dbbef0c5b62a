"""What guide 003 says of the speed of RLHF on Macs, and the bounds that follow from it: reads rlhf_times.toml."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Example:
    """A training of the guide: its ``minutes`` on the M2 Pro, and its ``steps`` where the guide gives them."""

    workload: str
    name: str
    minutes: float
    lines: str
    steps: int | None = None
    says: str = ""

    @property
    def least_rate(self) -> float | None:
        """Steps per second that the guide's minutes imply; start and evaluation within them make it more."""
        return None if self.steps is None else self.steps / (60 * self.minutes)


@dataclass(frozen=True)
class RelativeSpeed:
    """A chip of the guide's table: ``rockets`` stand for its speed, without a unit."""

    name: str
    rockets: int
    batch: int
    lines: str


@dataclass(frozen=True)
class RlhfTimes:
    """The guide's figures; the minutes are those ``on`` one chip."""

    on: str
    guide: str
    examples: tuple[Example, ...]
    chips: tuple[RelativeSpeed, ...]


@functools.cache
def load() -> RlhfTimes:
    """Return the figures."""
    folder = resources.files(__package__)
    document = tomllib.loads(folder.joinpath("rlhf_times.toml").read_text(encoding="utf-8"))
    return RlhfTimes(
        document["on"],
        document["guide"],
        tuple(Example(**row) for row in document["example"]),
        tuple(RelativeSpeed(**row) for row in document["chip"]),
    )
