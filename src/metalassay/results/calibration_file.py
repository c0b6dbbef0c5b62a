"""The file of a calibration: how often what a classifier gave a probability was true, by bins of it.

`metalassay train transit` writes one at its end, and `metalassay report` plots it. The layout and the schema are
known here and nowhere else.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from metalassay.fields import Field, FieldError, parse_json

NAME = "metalassay.calibration"
SCHEMA = f"{NAME}/1"
SOURCES = ("synthetic", "own")
"""Whose light curves they are: made from a seed, or those of the user."""
MOST_BINS = 1000
_MOST_CURVES = 10**12
_ROUNDING = 1e-6  # a mean of probabilities can lie this far outside their bin


@dataclass(frozen=True)
class Bin:
    """The light curves whose probability lies between ``low`` and ``high``, at least one.

    ``predicted`` is the mean of their probabilities, and ``planets`` of them were planets.
    """

    low: float
    high: float
    count: int
    planets: int
    predicted: float

    @property
    def observed(self) -> float:
        """The share of planets."""
        return self.planets / self.count


@dataclass(frozen=True)
class Calibration:
    """Bins in the order of their probability, at least one, and the Brier score, 0 to 1; 0 is best."""

    bins: tuple[Bin, ...]
    brier: float

    @property
    def count(self) -> int:
        """The number of light curves."""
        return sum(each.count for each in self.bins)

    @property
    def planets(self) -> int:
        """The number of them that were planets."""
        return sum(each.planets for each in self.bins)

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1; 0 is best."""
        apart = sum(each.count * abs(each.predicted - each.observed) for each in self.bins)
        return apart / self.count


def to_json(calibration: Calibration, source: str) -> str:
    """Return the text of the file; ``source`` is one of ``SOURCES``."""
    document = {
        "schema": SCHEMA,
        "source": source,
        "error": calibration.error,
        "brier": calibration.brier,
        "bins": [asdict(each) for each in calibration.bins],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def is_calibration(content: bytes) -> bool:
    """Return whether a file begins as a calibration does, whatever follows."""
    return NAME.encode() in content[:200]


def parse(content: bytes) -> tuple[Calibration, str]:
    """Return the calibration in a file and its source. Raises ``FieldError`` that names what is wrong."""
    top = Field(parse_json(content))
    top.get("schema").one_of([SCHEMA])
    source = top.get("source").one_of(SOURCES)
    bins = tuple(map(_bin, top.get("bins").each()))
    if not 1 <= len(bins) <= MOST_BINS:
        raise FieldError(f"bins: expected 1 to {MOST_BINS} of them, found {len(bins):,}")
    _require_order(bins)
    calibration = Calibration(bins, top.get("brier").number(0, 1))
    error = top.get("error")
    if abs(error.number(0, 1) - calibration.error) > _ROUNDING:
        raise error.wrong(f"what the bins give, {calibration.error:.6g}")
    return calibration, source


def _bin(field: Field) -> Bin:
    low, high = (field.get(name).number(0, 1) for name in ("low", "high"))
    if not low < high:
        raise field.get("high").wrong(f"a number above low, {low:g}")
    count = field.get("count").whole()
    if count > _MOST_CURVES:
        raise field.get("count").wrong(f"at most {_MOST_CURVES:g}")
    planets = field.get("planets").number(0, count)
    if planets != int(planets):
        raise field.get("planets").wrong("a whole number")
    predicted = field.get("predicted").number(max(0.0, low - _ROUNDING), min(1.0, high + _ROUNDING))
    return Bin(low, high, count, int(planets), predicted)


def _require_order(bins: Sequence[Bin]) -> None:
    for number, (one, following) in enumerate(itertools.pairwise(bins), 1):
        if following.low < one.high - _ROUNDING:
            raise FieldError(
                f"bins[{number}].low: expected at least {one.high:g}, where the last ends"
            )
