"""Plot -> a drawing in SVG for the page: no script and no colours of its own (CSS classes have them).

Numbers become positions on axes with ticks in steps of 1, 2 and 5; series differ in shape as well as in
colour; a legend below the plot names them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from metalassay.report.model import Plot, Point, Roofline, Series, counted
from metalassay.report.render.plot_tables import description, point_text
from metalassay.report.render.text_width import width, wrapped

WIDTH = 520.0
"""Units of a drawing, so few that all of it can be read on a phone."""
FONT_SIZE = 13.0
LINE = 17.0
"""Units from one line of the legend to the next."""
COLOURS = 6
_TOP, _HEIGHT, _MARGIN = 30.0, 270.0, 18.0
_BELOW = 46.0  # for ticks and the label of the x axis
_SWATCH, _GAP = 34.0, 18.0  # of an entry of the legend, and between two of them
_HALF_BAND = 7.0
_HATCH = 5.0  # units between the strokes
_LARGEST = 1e300  # beyond it sums and steps overflow; no measurement comes near
_SMALLEST = 1e-300  # on a logarithmic axis
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_NAME = "(no name)"

# Each is drawn around 0 0.
_SHAPES = (
    "m-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0 -8.8 0z",
    "m-4 -4h8v8h-8z",
    "m0 -5.2l5 8.8h-10z",
    "m0 -5.6l5.6 5.6l-5.6 5.6l-5.6 -5.6z",
    "m0 5.2l5 -8.8h-10z",
    "m-1.7 -5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
)


@dataclass(frozen=True)
class Drawing:
    """A plot as SVG, empty where there is nothing to draw; ``notes`` name what was left out."""

    svg: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``, which are decimal logarithms if ``log``. ``ticks`` are values."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the position of a value, from 0 at the low end to 1 at the high end, clipped to both."""
        if self.log:
            if value <= 0:
                return 0.0
            value = math.log10(value)
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class _Frame:
    """The area between the axes in units of the drawing, y downwards."""

    left: float
    right: float
    top: float
    bottom: float
    x: Axis
    y: Axis

    def place(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + (self.right - self.left) * self.x.at(x),
            self.bottom - (self.bottom - self.top) * self.y.at(y),
        )


def draw(plot: Plot, id_prefix: str) -> Drawing:
    """Draw a plot; ``id_prefix`` begins the ids in it and must be unique in the page."""
    series = [replace(one, points=_drawable(one, plot)) for one in plot.series]
    notes = _left_out(plot, series)
    series = [one for one in series if one.points]
    if not series:
        return Drawing("", (*notes, "There is no point to draw."))
    rooflines = [one for one in plot.rooflines if _has_place(one)]
    shifts = _shifts(plot, series)
    frame = _frame(plot, series, rooflines, max(shifts))
    legend, bottom = _legend(series, rooflines, frame.bottom + _BELOW)
    parts = [
        f'<title id="{id_prefix}t">{escape(plot.title)}</title>',
        f'<desc id="{id_prefix}d">{escape(description(plot))}</desc>',
        *_grid(plot, frame),
        *(_roofline(frame, one, index) for index, one in enumerate(rooflines)),
    ]
    for index, (one, shift) in enumerate(zip(series, shifts, strict=True)):
        parts += _series(frame, one, index, shift)
    parts += ['<g class="legend">', *legend, "</g>"]
    return Drawing(
        f'<svg viewBox="0 0 {WIDTH:g} {bottom:g}" role="img"'
        f' aria-labelledby="{id_prefix}t {id_prefix}d">{"".join(parts)}</svg>',
        notes,
    )


# Which values have a position, and where


def usable(value: float | None, log: bool) -> bool:
    """Return whether a value has a position on an axis: finite, not too large, above 0 if ``log``."""
    return value is not None and abs(value) <= _LARGEST and (value >= _SMALLEST or not log)


def axis(values: Iterable[float], log: bool, exact: Sequence[float] = ()) -> Axis:
    """Return an axis that includes the values, all of them ``usable`` and at least one.

    A linear axis starts at 0. The ticks are the values in ``exact`` where those are few integers and
    far enough apart, as batch sizes are.
    """
    numbers = list(values)
    low, high = min(numbers), max(numbers)
    regular = _log_axis(low, high) if log else _linear_axis(low, high)
    ticks = sorted(set(exact))
    apart = all(regular.at(b) - regular.at(a) > 0.08 for a, b in itertools.pairwise(ticks))
    if 2 <= len(ticks) <= 8 and apart and all(tick == int(tick) for tick in ticks):
        return replace(regular, ticks=tuple(ticks))
    return regular


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
    """Format a tick as 20,000 or 0.005, and as a power of ten where zeros would have to be counted."""
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
    # A float has no exponent beyond these.
    start, end = max(start - margin, -305.0), min(end + margin, 305.0)
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


def _drawable(series: Series, plot: Plot) -> tuple[Point, ...]:
    return tuple(p for p in series.points if usable(p.x, plot.x_log) and usable(p.y, plot.y_log))


def _has_place(roofline: Roofline) -> bool:
    return usable(roofline.gflop_s, log=True) and usable(roofline.gb_s, log=True)


def _left_out(plot: Plot, drawable: Sequence[Series]) -> tuple[str, ...]:
    missing = sum(len(one.points) for one in plot.series)
    missing -= sum(len(one.points) for one in drawable)
    if not missing:
        return ()
    logarithmic = " on a logarithmic axis" if plot.x_log or plot.y_log else ""
    return (f"{counted(missing, 'point')} not drawn: no position{logarithmic}.",)


def _frame(
    plot: Plot, series: Sequence[Series], rooflines: Sequence[Roofline], shift: float
) -> _Frame:
    """Return the frame with room for the ticks; ``shift`` is the largest step of a series aside."""
    x, y = _axes(plot, series, rooflines)
    return _Frame(
        left=_MARGIN + max(width(tick_text(tick), FONT_SIZE) for tick in (*y.ticks, 0.0)),
        right=WIDTH - _MARGIN - shift,
        top=_TOP,
        bottom=_TOP + _HEIGHT,
        x=x,
        y=y,
    )


def _axes(plot: Plot, series: Sequence[Series], rooflines: Sequence[Roofline]) -> tuple[Axis, Axis]:
    points = [point for one in series for point in one.points]
    xs = [point.x for point in points]
    ys = [
        value
        for point in points
        for value in (point.y, point.low, point.high)
        if value is not None and usable(value, plot.y_log)
    ]
    if not rooflines:
        return axis(xs, plot.x_log, [point.x for point in points]), axis(ys, plot.y_log)
    ridges = [one.gflop_s / one.gb_s for one in rooflines]
    low = min([*xs, *ridges]) / 2
    xs += [x for x in (low, 3 * max([*xs, *ridges])) if usable(x, plot.x_log)]
    ys += [y for one in rooflines for y in (one.gflop_s, one.at(low)) if usable(y, plot.y_log)]
    return axis(xs, plot.x_log), axis(ys, plot.y_log)


def _shifts(plot: Plot, series: Sequence[Series]) -> list[float]:
    """Return how far each series steps aside, so that intervals at the same x stand side by side."""
    xs = [{point.x for point in one.points} for one in series]
    if plot.rooflines or len(series) < 2 or len(set.union(*xs)) == sum(map(len, xs)):
        return [0.0] * len(series)
    step = min(8.0, 36 / len(series))
    return [(index - (len(series) - 1) / 2) * step for index in range(len(series))]


# What is drawn


def _grid(plot: Plot, frame: _Frame) -> Iterator[str]:
    for tick in frame.y.ticks:
        y = frame.place(0, tick)[1]
        yield f'<path class="grid" d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}"/>'
        yield _text(frame.left - 6, y + 4.5, tick_text(tick), "tick end")
    for tick in frame.x.ticks:
        x = frame.place(tick, 0)[0]
        yield f'<path class="grid" d="M{x:.1f} {frame.bottom:.1f}v5"/>'
        yield _text(x, frame.bottom + 19, tick_text(tick), "tick middle")
    yield f'<path class="axis" d="M{frame.left:.1f} {frame.bottom:.1f}H{frame.right:.1f}"/>'
    yield _text(4, 14, _one_line(plot.y_label, WIDTH - 8), "name")
    middle = (frame.left + frame.right) / 2
    room = 2 * min(middle, WIDTH - middle) - 8
    yield _text(middle, frame.bottom + 38, _one_line(plot.x_label, room), "name middle")


def _series(frame: _Frame, series: Series, index: int, shift: float) -> Iterator[str]:
    yield f'<g class="s{index % COLOURS}">'
    places = [(x + shift, y) for x, y in (frame.place(point.x, point.y) for point in series.points)]
    if series.line and len(places) > 1:
        yield _line(places, projected=series.projected)
    for (x, y), point in zip(places, series.points, strict=True):
        if point.low is not None or point.high is not None:
            ends = (_height(frame, point.low, y), _height(frame, point.high, y))
            yield _band(x, *ends) if series.projected else _bar(x, *ends)
        yield _marker(x, y, index, hollow=series.projected, tooltip=_tooltip(series, point))
    yield "</g>"


def _tooltip(series: Series, point: Point) -> str:
    """Return what a browser shows when the pointer rests on a point: its series, then its numbers."""
    text = point_text(point)
    return text if text.startswith(series.name) else f"{series.name}: {text}"


def _height(frame: _Frame, value: float | None, otherwise: float) -> float:
    return otherwise if value is None or math.isnan(value) else frame.place(0, value)[1]


def _line(places: Iterable[tuple[float, float]], *, projected: bool) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path class="line{" dashed" if projected else ""}" d="M{path}"/>'


def _marker(x: float, y: float, index: int, *, hollow: bool, tooltip: str = "") -> str:
    """Return the marker of series number ``index``; hollow for what was not measured."""
    shape = _SHAPES[(index + index // COLOURS) % len(_SHAPES)]
    head = f'<path class="{"hollow" if hollow else "mark"}" d="M{x:.1f} {y:.1f}{shape}"'
    return f"{head}><title>{escape(tooltip)}</title></path>" if tooltip else f"{head}/>"


def _bar(x: float, low: float, high: float) -> str:
    """Return an error bar from ``low`` to ``high``, with caps."""
    return (
        f'<path class="bar" d="M{x:.1f} {low:.1f}V{high:.1f}'
        f'M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>'
    )


def _band(x: float, low: float, high: float) -> str:
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


def _roofline(frame: _Frame, roofline: Roofline, index: int) -> str:
    low, high = frame.x.low, frame.x.high
    if frame.x.log:
        low, high = 10.0**low, 10.0**high
    ridge = roofline.gflop_s / roofline.gb_s
    corners = [low, *([ridge] if low < ridge < high else []), high]
    return _roof([frame.place(x, roofline.at(x)) for x in corners], index)


def _roof(places: Iterable[tuple[float, float]], index: int) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path class="roof r{index % 3}" d="M{path}"/>'


# The legend


def _legend(
    series: Sequence[Series], rooflines: Sequence[Roofline], top: float
) -> tuple[list[str], float]:
    """Return the entries of the legend, in as many columns as fit, and where the drawing ends."""
    names = [f"{one.name} (projected)" if one.projected else one.name for one in series]
    names += [one.name for one in rooflines]
    widest = WIDTH - 8 - _SWATCH
    texts = [wrapped(name, FONT_SIZE, widest, 2) or [_NO_NAME] for name in names]
    column = _SWATCH + max(width(line, FONT_SIZE) for text in texts for line in text)
    columns = max(1, int((WIDTH - 8 + _GAP) // (column + _GAP)))
    numbered = list(enumerate(texts))
    entries = []
    y = top + LINE / 2
    for first in range(0, len(texts), columns):
        row = numbered[first : first + columns]
        for place, (index, text) in enumerate(row):
            x = 4 + place * (column + _GAP)
            if index < len(series):
                entries.append(_series_swatch(x, y, series[index], index))
            else:
                entries.append(_roof([(x, y), (x + _SWATCH - 8, y)], index - len(series)))
            for number, line in enumerate(text):
                entries.append(_text(x + _SWATCH, y + 4.5 + number * LINE, line, "label"))
        y += LINE * max(len(text) for _, text in row)
    return entries, y


def _series_swatch(x: float, y: float, series: Series, index: int) -> str:
    end = x + _SWATCH - 8
    line = _line([(x, y), (end, y)], projected=series.projected) if series.line else ""
    marker = _marker((x + end) / 2, y, index, hollow=series.projected)
    return f'<g class="s{index % COLOURS}">{line}{marker}</g>'


def _one_line(text: str, room: float) -> str:
    return (wrapped(text, FONT_SIZE, room, 1) or [_NO_NAME])[0]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'
