"""Figures that others measured on Apple's chips and published, from published.toml; none is ours."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware

UNITS = {"bandwidth": "GB/s", "arithmetic": "TFLOP/s", "time": "ms", "power": "W"}
ON = ("gpu", "cpu", "wall")
WORK = ("stream", "matrix product", "operator", "load", "idle")

_CLOSE = 0.01  # relative tolerance between a value and the time from which it was derived


@dataclass(frozen=True)
class Published:
    """A figure that somebody else measured; the comment at the top of published.toml explains the fields.

    ``low`` and ``high`` are equal unless the source gives a range. ``gpu_cores`` is None where the
    source does not state it. ``source`` is a URL, ``says`` describes what is found there.
    """

    id: str
    chip: str
    gpu_cores: int | None
    what: str
    on: str
    work: str
    dtype: str
    low: float
    high: float
    tool: str
    how: str
    source: str
    says: str
    same: str

    def text(self) -> str:
        """Return the value with its unit, as in "101 GB/s" or "30.1 to 31.4 W"."""
        span = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f"{span} {UNITS[self.what]}"


def parse(text: str) -> tuple[Published, ...]:
    """Read the TOML. Raises ``KeyError`` or ``ValueError``, naming the row, for an invalid figure."""
    document = tomllib.loads(text)
    figures = []
    for row in document["figure"]:
        try:
            figures.append(_figure(row, document["sources"]))
        except (KeyError, ValueError) as error:
            raise type(error)(
                f"published.toml: {row.get('id', 'a row without id')}: {error}"
            ) from None
    return tuple(figures)


def _figure(row: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]]) -> Published:
    low, high = row["value"] if isinstance(row["value"], list) else (row["value"],) * 2
    if not 0 < low <= high:
        raise ValueError(f"the value {row['value']!r} is not a positive number or range")
    for key, allowed in (("what", UNITS), ("on", ON), ("work", WORK)):
        if row[key] not in allowed:
            raise ValueError(f"{key} is {row[key]!r}, expected one of {tuple(allowed)}")
    if (row["what"] == "arithmetic") != ("dtype" in row):
        raise ValueError("exactly the figures of arithmetic must name a dtype")
    if "milliseconds" in row:
        implied = _implied(row)
        if abs(implied - low) > _CLOSE * implied:
            raise ValueError(f"its time implies {implied:.4g}, not {low:g}")
    source = sources[row["source"]]
    return Published(
        id=row["id"],
        chip=row["chip"],
        gpu_cores=row.get("gpu_cores"),
        what=row["what"],
        on=row["on"],
        work=row["work"],
        dtype=row.get("dtype", ""),
        low=float(low),
        high=float(high),
        tool=row["with"],
        how=row["how"],
        source=source["url"],
        says=source["says"],
        same=row.get("same", ""),
    )


def _implied(row: Mapping[str, Any]) -> float:
    """Return the rate that the source's time implies, in the unit of the figure."""
    seconds = row["milliseconds"] / 1e3
    if row["what"] == "bandwidth":
        return float(row["bytes"] / seconds / 1e9)
    return float(row["flop"] / seconds / 1e12)


@functools.cache
def load() -> tuple[Published, ...]:
    """Return every figure, in the order of the file."""
    folder = resources.files(__package__)
    return parse(folder.joinpath("published.toml").read_text(encoding="utf-8"))


def of(machine: Hardware | Chip, figures: Iterable[Published] | None = None) -> list[Published]:
    """Return the figures for a chip or for a machine's chip; none for a virtual machine.

    Figures of a variant with another number of GPU cores are left out, even those of its CPU.
    """
    virtual = machine.virtual if isinstance(machine, Hardware) else False
    name = machine.chip if isinstance(machine, Hardware) else machine.name
    return [
        figure
        for figure in (load() if figures is None else figures)
        if figure.chip == name
        and not virtual
        and (None in (figure.gpu_cores, machine.gpu_cores) or figure.gpu_cores == machine.gpu_cores)
    ]


def ratios(first: Iterable[Published], second: Iterable[Published]) -> dict[str, float]:
    """Return how many times as fast as the first chip the second is, per kind of work that both did.

    ``first`` and ``second`` are results of ``of``. Only the GPU counts. The keys are the names in
    ``same``, which the figures of comparable work share.
    """

    def speeds(figures: Iterable[Published]) -> dict[str, float]:
        return {
            figure.same: 1 / figure.low if figure.what == "time" else figure.low
            for figure in figures
            if figure.same and figure.on == "gpu" and figure.what != "power"
        }

    base, other = speeds(first), speeds(second)
    return {name: other[name] / base[name] for name in base if name in other}
