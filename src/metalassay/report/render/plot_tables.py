"""The numbers of a plot as a table and in words: for readers who do not see it, and for Markdown."""

from __future__ import annotations

import math

from metalassay.report.model import NO_VALUE, Plot, Point, Table, significant

_DESCRIBED = 8  # points per series in the description; the table has all of them


def data_table(plot: Plot) -> Table:
    """Return all points of a plot, those that cannot be drawn included, with its rooflines as notes."""
    points = [(series, point) for series in plot.series for point in series.points]
    labelled = any(point.label for _, point in points)
    return Table(
        caption=plot.title,
        head=("series", plot.x_label, plot.y_label, "interval", *(["what"] if labelled else [])),
        rows=tuple(
            (
                f"{series.name} (projected)" if series.projected else series.name,
                x_text(point.x),
                significant(point.y),
                interval_text(point),
                *([point.label or NO_VALUE] if labelled else []),
            )
            for series, point in points
        ),
        numeric=(False, True, True, True, *([False] if labelled else [])),
        notes=(
            *([plot.note] if plot.note else []),
            *(
                f"Roofline, {one.name}: {significant(one.gflop_s)} GFLOP/s, {significant(one.gb_s)} GB/s."
                for one in plot.rooflines
            ),
        ),
    )


def x_text(value: float) -> str:
    """Format a value of x: a batch size in full, anything else with three significant digits."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    return significant(value)


def interval_text(point: Point) -> str:
    """Format the interval of a point, as a dash where it has none."""
    if point.low is None and point.high is None:
        return NO_VALUE
    low, high = ("?" if end is None else significant(end) for end in (point.low, point.high))
    return f"{low} {NO_VALUE} {high}"


def point_text(point: Point) -> str:
    """Describe a point in words: by its label, or else by its numbers."""
    if point.label:
        return point.label
    interval = interval_text(point)
    bounds = "" if interval == NO_VALUE else f" ({interval})"
    return f"{significant(point.y)}{bounds} at {x_text(point.x)}"


def description(plot: Plot) -> str:
    """Describe a plot in words: its axes, then the first points of each series."""
    parts = [f"{plot.y_label} against {plot.x_label}."]
    for series in plot.series:
        points = [point_text(point) for point in series.points[:_DESCRIBED]]
        if len(series.points) > _DESCRIBED:
            points.append(f"and {len(series.points) - _DESCRIBED} more, in the table below")
        kind = " (projected, not measured)" if series.projected else ""
        parts.append(f"{series.name}{kind}: {'; '.join(points) or 'no points'}.")
    return " ".join(parts)
