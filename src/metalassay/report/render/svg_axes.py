"""From numbers to places on an axis: bounds, ticks in steps of 1, 2 and 5, and how a tick is written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LARGEST = 1e300  # beyond it sums and steps overflow; no measurement comes near
_SMALLEST = 1e-300  # on a logarithmic axis
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``: decimal logarithms of them if ``log``. ``ticks`` are values."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of a value, 0 at the low end and 1 at the high one; outside goes to the end."""
        if self.log:
            if value <= 0:
                return 0.0
            value = math.log10(value)
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def usable(value: float | None, log: bool) -> bool:
    """Tell whether a value has a place on an axis: finite, of a sane size, above 0 if ``log``."""
    return value is not None and abs(value) <= _LARGEST and (value >= _SMALLEST or not log)


def axis(values: Iterable[float], log: bool, exact: Sequence[float] = ()) -> Axis:
    """Return an axis that holds the values, all of them ``usable`` and at least one.

    A linear axis starts at 0. Ticks stand at the values in ``exact`` where they are few and far enough
    apart, as batch sizes are.
    """
    numbers = list(values)
    made = (
        _log_axis(min(numbers), max(numbers)) if log else _linear_axis(min(numbers), max(numbers))
    )
    ticks = sorted(set(exact))
    apart = all(made.at(b) - made.at(a) > 0.08 for a, b in itertools.pairwise(ticks))
    if 2 <= len(ticks) <= 8 and apart and all(tick == int(tick) for tick in ticks):
        return Axis(made.low, made.high, log, tuple(ticks))
    return made


def nice(span: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below ``span``, above 0."""
    exponent = math.floor(math.log10(span))
    if exponent < -300:
        return span  # the power itself would be 0
    for factor in (1, 2, 5):
        if factor * 10.0**exponent >= span * (1 - 1e-9):
            return factor * 10.0**exponent
    return 10.0 ** (exponent + 1)


def tick_text(value: float) -> str:
    """Write a tick: 20,000 or 0.005, and with a power of ten where zeros would have to be counted."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    factor = f"{float(mantissa):g}".replace("-", "\N{MINUS SIGN}")
    return power if factor == "1" else f"{factor}\N{MULTIPLICATION SIGN}{power}"


def _linear_axis(low: float, high: float) -> Axis:
    low, high = min(0.0, low), max(0.0, high)
    if low == high:
        high = 1.0
    step = nice(high / 5 - low / 5) if high / 5 - low / 5 > 0 else high - low
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(min(low, ticks[0]), max(high, ticks[-1]), log=False, ticks=ticks)


def _log_axis(low: float, high: float) -> Axis:
    start, end = math.log10(low), math.log10(high)
    if end - start < 0.3:
        middle = (start + end) / 2
        start, end = middle - 0.2, middle + 0.2
    margin = 0.05 * (end - start)
    start, end = (
        max(start - margin, -305.0),
        min(end + margin, 305.0),
    )  # as exponents they go no further
    return Axis(start, end, log=True, ticks=tuple(_log_ticks(start, end)))


def _log_ticks(start: float, end: float) -> list[float]:
    factors = (1, 2, 5) if end - start <= 2.5 else (1,)
    every = 1 if len(factors) > 1 else math.ceil((end - start) / 8)
    powers = [power for power in range(math.floor(start), math.ceil(end) + 1) if power % every == 0]
    ticks = [
        factor * 10.0**power
        for power in powers
        for factor in factors
        if -307 <= power <= 300 and start <= power + math.log10(factor) <= end
    ]
    if len(ticks) >= 2 or not -300 < start < end < 300:
        return ticks
    low, high = 10.0**start, 10.0**end
    step = nice((high - low) / 3)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
