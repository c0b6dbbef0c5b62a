"""What others have measured on Apple's chips and published, from published.toml: never our measurements."""

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

_CLOSE = 0.01  # a value that is worked out from a time agrees with it to this part


@dataclass(frozen=True)
class Published:
    """A figure that somebody else measured; the head of published.toml explains the fields.

    ``low`` and ``high`` are equal but where the source gives a range. ``gpu_cores`` is None where the
    source does not say. ``source`` is a URL, ``says`` what is found there.
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
    """Read the TOML. Raises ``KeyError`` or ``ValueError``, naming the row, where a figure is none."""
    document = tomllib.loads(text)
    found = []
    for row in document["figure"]:
        try:
            found.append(_figure(row, document["sources"]))
        except (KeyError, ValueError) as error:
            raise type(error)(f"reference: {row.get('id', 'a row without id')}: {error}") from None
    return tuple(found)


def _figure(row: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]]) -> Published:
    low, high = row["value"] if isinstance(row["value"], list) else (row["value"],) * 2
    if not 0 < low <= high:
        raise ValueError(f"the value {row['value']!r} is no figure")
    for key, allowed in (("what", UNITS), ("on", ON), ("work", WORK)):
        if row[key] not in allowed:
            raise ValueError(f"{key} is {row[key]!r}, none of {tuple(allowed)}")
    if (row["what"] == "arithmetic") != ("dtype" in row):
        raise ValueError("arithmetic names its dtype, and nothing else does")
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
    """Return the rate that the time of the source implies, in the unit of the figure."""
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
    """Return the figures for a machine's chip, or for a chip; none for a virtual machine.

    A figure for another number of GPU cores is left out, on the GPU as on the CPU.
    """
    virtual = machine.virtual if isinstance(machine, Hardware) else False
    name = machine.chip if isinstance(machine, Hardware) else machine.name
    return [
        each
        for each in (load() if figures is None else figures)
        if each.chip == name
        and not virtual
        and (None in (each.gpu_cores, machine.gpu_cores) or each.gpu_cores == machine.gpu_cores)
    ]


def ratios(first: Iterable[Published], second: Iterable[Published]) -> dict[str, float]:
    """Return how many times as fast the second chip is as the first, by work that both sides did.

    Only on the GPU; the keys are the names in ``same``. A chip's figures are those of ``of``.
    """

    def speeds(figures: Iterable[Published]) -> dict[str, float]:
        return {
            each.same: 1 / each.low if each.what == "time" else each.low
            for each in figures
            if each.same and each.on == "gpu" and each.what != "power"
        }

    one, other = speeds(first), speeds(second)
    return {name: other[name] / one[name] for name in one if name in other}
