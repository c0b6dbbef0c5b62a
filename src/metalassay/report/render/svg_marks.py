"""The marks of a plot: shapes that differ as well as colours, bars of intervals, bands of projections."""

from __future__ import annotations

COLOURS = 6
_HALF_BAND = 7.0
_HATCH = 5.0  # units between the strokes

# Each around 0 0; a series is told by its shape where colours look the same.
_SHAPES = (
    "m-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0 -8.8 0z",
    "m-4 -4h8v8h-8z",
    "m0 -5.2l5 8.8h-10z",
    "m0 -5.6l5.6 5.6l-5.6 5.6l-5.6 -5.6z",
    "m0 5.2l5 -8.8h-10z",
    "m-1.7 -5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
)


def mark(x: float, y: float, index: int, *, hollow: bool) -> str:
    """Return the mark of the series ``index``; hollow for what was not measured."""
    shape = _SHAPES[(index + index // COLOURS) % len(_SHAPES)]
    return f'<path class="{"hollow" if hollow else "mark"}" d="M{x:.1f} {y:.1f}{shape}"/>'


def bar(x: float, low: float, high: float) -> str:
    """Return an interval from ``low`` to ``high``, with ends."""
    return (
        f'<path class="bar" d="M{x:.1f} {low:.1f}V{high:.1f}'
        f'M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>'
    )


def band(x: float, low: float, high: float) -> str:
    """Return a hatched interval: strokes in a box, as a pattern would need a reference to its id."""
    top, bottom = min(low, high), max(low, high)
    left, right = x - _HALF_BAND, x + _HALF_BAND
    strokes = []
    start = top
    while start < bottom + 2 * _HALF_BAND:
        # From (left, start) upwards to the right, cut at the box.
        x0, y0 = (left, start) if start <= bottom else (left + start - bottom, bottom)
        rise = min(right - x0, y0 - top)
        if rise > 0:
            strokes.append(f"M{x0:.1f} {y0:.1f}l{rise:.1f} {-rise:.1f}")
        start += _HATCH
    box = f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"
    return f'<path class="hatch" d="{box}{"".join(strokes)}"/>'
