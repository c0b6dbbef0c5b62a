"""Plot -> a drawing in SVG for the page: no script, no colour of its own (classes s0 to s5 have them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from metalassay.report.model import Plot, Point, Series, counted
from metalassay.report.render.plot_tables import spoken
from metalassay.report.render.svg_axes import Axis, axis, tick_text, usable
from metalassay.report.render.svg_labels import CHARACTER, LINE, Box, apart, beside, lines, width
from metalassay.report.render.svg_marks import COLOURS, band, bar, mark

Roof = tuple[str, float, float]  # its name, GFLOP/s, GB/s

WIDTH = 520.0  # so that a phone shows all of it with letters that can be read
_TOP, _BOTTOM, _HEIGHT = 30.0, 46.0, 270.0


@dataclass(frozen=True)
class Drawing:
    """A plot as SVG, empty where there is nothing to draw, and what was left out of it."""

    svg: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Frame:
    """The area of the plot in units of the drawing, y downwards, its axes, and where names begin."""

    left: float
    right: float
    top: float
    bottom: float
    x: Axis
    y: Axis
    names: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + (self.right - self.left) * self.x.at(x),
            self.bottom - (self.bottom - self.top) * self.y.at(y),
        )


@dataclass(frozen=True)
class _Name:
    """A name beside the plot: its lines, the point that it belongs to, and the mark before it.

    ``series`` is None for a roof, which has no mark.
    """

    lines: tuple[str, ...]
    end: tuple[float, float]
    series: int | None = None
    projected: bool = False


def draw(plot: Plot, name: str) -> Drawing:
    """Draw a plot; ``name`` begins the ids in it, and is to be the only one of the page."""
    series = [replace(each, points=_drawable(each, plot)) for each in plot.series]
    notes = _left_out(plot, series)
    series = [each for each in series if each.points]
    if not series:
        return Drawing("", (*notes, "There is no point to draw."))
    roofs = [roof for roof in plot.roofs if all(usable(value, log=True) for value in roof[1:])]
    texts = [_named(each) for each in series] + [lines(roof[0]) for roof in roofs]
    heights = [len(each) * LINE + 3 for each in texts]
    shifts = _shifts(plot, series)
    frame = _frame(plot, series, roofs, texts, max(shifts), max(_HEIGHT, sum(heights)))
    ends = [_end(frame, each.points[-1], shift) for each, shift in zip(series, shifts, strict=True)]
    ends += [_roof_path(frame, roof)[-1] for roof in roofs]
    middles = apart([y for _, y in ends], heights, frame.top, frame.bottom)
    parts = [
        f'<title id="{name}t">{escape(plot.title)}</title>',
        f'<desc id="{name}d">{escape(spoken(plot))}</desc>',
        *_grid(plot, frame),
        *(_roof_line(frame, roof, index) for index, roof in enumerate(roofs)),
    ]
    for index, (each, shift) in enumerate(zip(series, shifts, strict=True)):
        parts += _series(frame, each, index, shift)
    for index, (text, end, middle) in enumerate(zip(texts, ends, middles, strict=True)):
        if index < len(series):
            named = _Name(tuple(text), end, index, series[index].projected)
        else:
            named = _Name(tuple(text), end)
        parts += _end_label(frame, named, middle)
    if plot.roofs:
        parts += _point_names(frame, series, list(zip(ends, middles, strict=True)))
    box = f"0 0 {WIDTH:g} {frame.bottom + _BOTTOM:g}"
    return Drawing(
        f'<svg viewBox="{box}" role="img" aria-labelledby="{name}t {name}d">{"".join(parts)}</svg>',
        notes,
    )


def _frame(
    plot: Plot,
    series: Sequence[Series],
    roofs: Sequence[Roof],
    texts: Sequence[Sequence[str]],
    shift: float,
    height: float,
) -> _Frame:
    """Leave room for the names to the right and the ticks to the left; ``shift`` steps to the right."""
    x, y = _axes(plot, series, roofs)
    names = WIDTH - 18 - max(width(line) for each in texts for line in each)
    return _Frame(
        left=18 + max(width(tick_text(tick)) for tick in (*y.ticks, 0.0)),
        right=names - 18 - shift,
        top=_TOP,
        bottom=_TOP + height,
        x=x,
        y=y,
        names=names,
    )


def _drawable(series: Series, plot: Plot) -> tuple[Point, ...]:
    return tuple(p for p in series.points if usable(p.x, plot.x_log) and usable(p.y, plot.y_log))


def _left_out(plot: Plot, drawable: Sequence[Series]) -> tuple[str, ...]:
    missing = sum(len(each.points) for each in plot.series)
    missing -= sum(len(each.points) for each in drawable)
    if not missing:
        return ()
    logarithmic = " on a logarithmic axis" if plot.x_log or plot.y_log else ""
    return (f"{counted(missing, 'point')} left out of the plot: no place for it{logarithmic}.",)


def _axes(plot: Plot, series: Sequence[Series], roofs: Sequence[Roof]) -> tuple[Axis, Axis]:
    points = [point for each in series for point in each.points]
    xs = [point.x for point in points]
    ys = [
        value
        for point in points
        for value in (point.y, point.low, point.high)
        if value is not None and usable(value, plot.y_log)
    ]
    if roofs:
        ridges = [peak / bandwidth for _, peak, bandwidth in roofs]
        low = min([*xs, *ridges]) / 2
        xs += [x for x in (low, 3 * max([*xs, *ridges])) if usable(x, plot.x_log)]
        ys += [y for roof in roofs for y in (roof[1], _roof(roof, low)) if usable(y, plot.y_log)]
        return axis(xs, plot.x_log), axis(ys, plot.y_log)
    return axis(xs, plot.x_log, [point.x for point in points]), axis(ys, plot.y_log)


def _shifts(plot: Plot, series: Sequence[Series]) -> list[float]:
    """Return how far each series steps aside, so that intervals at the same x stand side by side."""
    xs = [{point.x for point in each.points} for each in series]
    if plot.roofs or len(series) < 2 or len(set.union(*xs)) == sum(map(len, xs)):
        return [0.0] * len(series)
    step = min(8.0, 36 / len(series))
    return [(index - (len(series) - 1) / 2) * step for index in range(len(series))]


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
    wide = int((WIDTH - 8) / CHARACTER)
    yield _text(4, 14, lines(plot.y_label, wide, 1)[0], "name")
    middle = (frame.left + frame.right) / 2
    text = lines(plot.x_label, int(2 * min(middle, WIDTH - middle) / CHARACTER), 1)[0]
    yield _text(middle, frame.bottom + 38, text, "name middle")


def _series(frame: _Frame, series: Series, index: int, shift: float) -> Iterator[str]:
    yield f'<g class="s{index % COLOURS}">'
    places = [(x + shift, y) for x, y in (frame.place(point.x, point.y) for point in series.points)]
    if series.line and len(places) > 1:
        dashed = " dashed" if series.projected else ""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        yield f'<path class="line{dashed}" d="M{path}"/>'
    for (x, y), point in zip(places, series.points, strict=True):
        if point.low is not None or point.high is not None:
            ends = (_height(frame, point.low, y), _height(frame, point.high, y))
            yield band(x, *ends) if series.projected else bar(x, *ends)
        yield mark(x, y, index, hollow=series.projected)
    yield "</g>"


def _height(frame: _Frame, value: float | None, otherwise: float) -> float:
    return otherwise if value is None or value != value else frame.place(0, value)[1]


def _end(frame: _Frame, point: Point, shift: float) -> tuple[float, float]:
    x, y = frame.place(point.x, point.y)
    return x + shift, y


def _roof(roof: Roof, x: float) -> float:
    """Return the most GFLOP/s at ``x`` FLOP a byte."""
    return min(roof[1], roof[2] * x)


def _roof_path(frame: _Frame, roof: Roof) -> list[tuple[float, float]]:
    low, high = frame.x.low, frame.x.high
    if frame.x.log:
        low, high = 10.0**low, 10.0**high
    corners = [low, *([roof[1] / roof[2]] if low < roof[1] / roof[2] < high else []), high]
    return [frame.place(x, _roof(roof, x)) for x in corners]


def _roof_line(frame: _Frame, roof: Roof, index: int) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in _roof_path(frame, roof))
    return f'<path class="roof r{index % 3}" d="M{path}"/>'


def _named(series: Series) -> list[str]:
    return [*lines(series.name), *(["projected"] if series.projected else [])]


def _end_label(frame: _Frame, name: _Name, middle: float) -> Iterator[str]:
    x, (end_x, end_y) = frame.names, name.end
    colour = f"s{name.series % COLOURS}" if name.series is not None else "s-roof"
    yield f'<g class="{colour}"><path class="lead" d="M{end_x + 7:.1f} {end_y:.1f}L{x - 4:.1f} {middle:.1f}"/>'
    if name.series is not None:
        yield mark(x + 2, middle, name.series, hollow=name.projected)
    yield "</g>"
    top = middle - len(name.lines) * LINE / 2
    for row, line in enumerate(name.lines):
        yield _text(x + 12, top + LINE * row + 11.5, line, "label")


def _point_names(
    frame: _Frame, series: Sequence[Series], leads: Sequence[tuple[tuple[float, float], float]]
) -> Iterator[str]:
    """Yield the names of points where a series has several and there is room beside them.

    ``leads`` are the lines that lead from the last points to the names of the series.
    """
    taken: list[Box] = []
    for (x, y), end in leads:
        for part in (step / 24 for step in range(2, 25)):
            at, height = x + (frame.names - x) * part, y + (end - y) * part
            taken.append((at - 6, height - 3, at + 6, height + 3))
    for each in series:
        for point in each.points:
            x, y = frame.place(point.x, point.y)
            taken.append((x - 6, y - 6, x + 6, y + 6))
    inside = (frame.left, frame.top, frame.right, frame.bottom)
    for each in series:
        for point in each.points if len(each.points) > 1 else ():
            text = _short(each, point)
            box = beside(*frame.place(point.x, point.y), text, taken, inside) if text else None
            if box:
                taken.append(box)
                yield _text(box[0], box[1] + 11.5, text, "point")


def _short(series: Series, point: Point) -> str:
    """Return what tells a point from the others of its series: "batch 8" of "NAME, batch 8 (cpu): 2"."""

    def own(one: Point) -> str:
        return one.label.removeprefix(series.name).lstrip(" ,:").partition(":")[0]

    text, brief = own(point), own(point).partition(" (")[0]
    if len(text) > 24 or sum(own(each).partition(" (")[0] == brief for each in series.points) == 1:
        text = brief
    return lines(text, 24, 1)[0] if text else ""


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'
