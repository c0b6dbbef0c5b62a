"""The numbers of a plot as a table: for those who do not see it, and for Markdown."""

from __future__ import annotations

import math

from metalassay.report.model import NO_VALUE, Plot, Point, Table, significant

_SPOKEN = 8  # points of a series that the words tell; the table has them all


def numbers(plot: Plot) -> Table:
    """Return every point of a plot, also those that have no place in it, and its roofs as notes."""
    points = [(series, point) for series in plot.series for point in series.points]
    explained = any(point.label for _, point in points)
    return Table(
        caption=plot.title,
        head=("series", plot.x_label, plot.y_label, "interval", *(["what"] if explained else [])),
        rows=tuple(
            (
                f"{series.name} (projected)" if series.projected else series.name,
                abscissa(point.x),
                number(point.y),
                interval(point),
                *([point.label or NO_VALUE] if explained else []),
            )
            for series, point in points
        ),
        numeric=(False, True, True, True, *([False] if explained else [])),
        notes=(
            *([plot.note] if plot.note else []),
            *(
                f"Limit, {name}: {number(peak)} GFLOP/s, {number(bandwidth)} GB/s."
                for name, peak, bandwidth in plot.roofs
            ),
        ),
    )


def number(value: float) -> str:
    """Write a value with three significant digits, whatever it is."""
    return significant(value) if abs(value) <= 1e300 else f"{value:g}"


def abscissa(value: float) -> str:
    """Write a value of x: a batch size in full, anything else with three significant digits."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    return number(value)


def interval(point: Point) -> str:
    """Write the interval of a point; a dash where it has none."""
    if point.low is None and point.high is None:
        return NO_VALUE
    low = "?" if point.low is None else number(point.low)
    high = "?" if point.high is None else number(point.high)
    return f"{low} {NO_VALUE} {high}"


def spoken(plot: Plot) -> str:
    """Say a plot in words: its axes, then the first points of each series."""
    parts = [f"{plot.y_label} against {plot.x_label}."]
    for series in plot.series:
        said = [_said(point) for point in series.points[:_SPOKEN]]
        if len(series.points) > _SPOKEN:
            said.append(f"and {len(series.points) - _SPOKEN} more, in the table below")
        kind = " (projected, not measured)" if series.projected else ""
        parts.append(f"{series.name}{kind}: {'; '.join(said) or 'nothing'}.")
    return " ".join(parts)


def _said(point: Point) -> str:
    if point.label:
        return point.label
    bounds = "" if interval(point) == NO_VALUE else f" ({interval(point)})"
    return f"{number(point.y)}{bounds} at {abscissa(point.x)}"
