"""Plots as SVG: positions, axes, the legend, and any value without an error."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import constructed_report
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay.report.model import Plot, Point, Roofline, Series
from metalassay.report.render import plot_tables, svg
from metalassay.report.render.svg import FONT_SIZE, LINE, WIDTH, axis, nice, tick_text
from metalassay.report.render.text_width import width


def plot(*series: Series, x_log: bool = False, y_log: bool = False) -> Plot:
    return Plot("Is it so?", "batch size", "samples/s", series, x_log, y_log)


def drawn(of: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(of, "p1").svg)  # noqa: S314  (our own, not from a file)


def texts(drawing: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [each for each in drawing.iter("text") if kind in each.get("class", "").split()]


def paths(drawing: ElementTree.Element, kind: str) -> list[str]:
    return [
        each.get("d", "") for each in drawing.iter("path") if kind in each.get("class", "").split()
    ]


def contents(elements: list[ElementTree.Element]) -> list[str]:
    return [each.text or "" for each in elements]


@given(st.floats(min_value=1e-290, max_value=1e290))
def test_a_step_is_one_two_or_five_times_a_power_of_ten(span: float) -> None:
    step = nice(span)
    assert span * (1 - 1e-6) <= step <= 2.5 * span * (1 + 1e-6)
    assert f"{step:.6e}"[:8] in {"1.000000", "2.000000", "5.000000"}


def test_a_linear_axis_starts_at_zero_and_ends_at_a_tick() -> None:
    regular = axis([830, 1_720], log=False)
    assert regular.ticks == (0, 500, 1000, 1500, 2000)
    assert (regular.at(0), regular.at(2000), regular.at(1000)) == (0, 1, 0.5)


def test_a_logarithmic_axis_has_powers_of_ten_and_1_2_5_steps_where_they_are_few() -> None:
    assert axis([1, 1e6], log=True).ticks == (1, 10, 100, 1000, 1e4, 1e5, 1e6)
    assert axis([3, 90], log=True).ticks == (5, 10, 20, 50, 100)
    assert axis([1, 1e32], log=True).ticks == (1, 1e5, 1e10, 1e15, 1e20, 1e25, 1e30)


def test_batch_sizes_are_the_ticks_unless_they_are_too_close() -> None:
    drawing = drawn(plot(Series("m", tuple(Point(x, 1.0) for x in (1, 8, 64, 512))), x_log=True))
    assert contents(texts(drawing, "middle"))[:4] == ["1", "8", "64", "512"]
    near = drawn(plot(Series("m", tuple(Point(x, 1.0) for x in (1, 2, 3, 500)))))
    assert contents(texts(near, "middle"))[:3] == ["0", "100", "200"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (20_000, "20,000"), (0.005, "0.005"), (2e6, "2×10⁶"), (1e-7, "10⁻⁷"), (-5, "−5")],  # noqa: RUF001
)
def test_a_tick_has_few_zeros(value: float, text: str) -> None:
    assert tick_text(value) == text


VISIBLE = st.characters(exclude_categories=["C"])


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    drawing = drawn(plot(Series("m", (Point(1, 10, 0, 20), Point(2, 5)))))
    grid = [float(re.split("[ H]", d)[1]) for d in paths(drawing, "grid") if "H" in d]
    (bar,) = paths(drawing, "bar")
    found = re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)M", bar)
    assert found
    assert [float(each) for each in found.groups()] == [grid[0], grid[-1]]
    assert contents(texts(drawing, "end")) == ["0", "5", "10", "15", "20"]


def test_series_differ_in_shape_as_well_as_in_colour_and_the_legend_names_them() -> None:
    series = [Series(f"setting {n}", (Point(1, 5), Point(2, 5 + n / 50))) for n in range(6)]
    drawing = drawn(plot(*series))
    shapes = {re.sub(r"^M[\d.]+ [\d.]+", "", d) for d in paths(drawing, "mark")}
    assert len(shapes) == 6
    groups = {each.get("class") for each in drawing.iter("g")}
    assert groups == {"legend", *(f"s{n}" for n in range(6))}
    assert contents(texts(drawing, "label")) == [each.name for each in series]
    # Each entry of the legend shows the line and the marker of its series.
    legend = next(each for each in drawing.iter("g") if each.get("class") == "legend")
    swatches = [each.get("class") for each in legend.iter("path")]
    assert swatches == ["line", "mark"] * 6


@settings(deadline=None)
@given(st.lists(st.text(VISIBLE, max_size=70), min_size=1, max_size=8))
def test_the_names_in_the_legend_neither_overlap_nor_leave_the_drawing(names: list[str]) -> None:
    drawing = drawn(plot(*(Series(name, (Point(1, 0), Point(2, 1))) for name in names)))
    height = float(drawing.get("viewBox", "").split()[3])
    axis_label = max(float(each.get("y", "nan")) for each in texts(drawing, "name"))
    rows: dict[float, list[tuple[float, float]]] = {}
    for each in texts(drawing, "label"):
        x, y = float(each.get("x", "nan")), float(each.get("y", "nan"))
        assert axis_label + LINE - 3 <= y <= height
        rows.setdefault(y, []).append((x, x + width(each.text or "", FONT_SIZE)))
    for row in rows.values():
        assert all(one[1] < other[0] for one, other in itertools.pairwise(row))
        assert row[-1][1] <= WIDTH
    assert all(b - a >= LINE - 0.2 for a, b in itertools.pairwise(sorted(rows)))


def test_short_names_share_a_row_of_the_legend_and_a_long_one_is_wrapped() -> None:
    short = drawn(plot(*(Series(f"M{n}", (Point(1, n),)) for n in range(1, 4))))
    assert len({each.get("y") for each in texts(short, "label")}) == 1
    long = drawn(plot(Series("a rather long name of a machine " * 3, (Point(1, 1),))))
    assert len(texts(long, "label")) == 2


def test_a_point_has_a_tooltip_with_its_series_and_its_numbers() -> None:
    drawing = drawn(plot(Series("M4", (Point(8, 12, 11, 13), Point(9, 5, label="M4 at nine: 5")))))
    tooltips = [each.text for each in drawing.iter("title")][1:]
    assert tooltips == ["M4: 12.0 (11.0 – 13.0) at 8", "M4 at nine: 5"]  # noqa: RUF001


def test_a_projected_series_is_hatched_hollow_dashed_and_labelled() -> None:
    points = (Point(1, 3, 2, 4), Point(2, 6, 5, 7))
    both = drawn(plot(Series("Max", points, projected=True), Series("M4", points)))
    only = drawn(plot(Series("M4", points)))
    # The legend has one line and one marker per series.
    assert [len(paths(both, kind)) for kind in ("hatch", "bar", "dashed")] == [2, 2, 2]
    assert len(paths(both, "hollow")) == 3
    assert contents(texts(both, "label")) == ["Max (projected)", "M4"]
    assert not [d for kind in ("hatch", "hollow", "dashed") for d in paths(only, kind)]
    assert "projected" not in ElementTree.tostring(only, encoding="unicode")


def test_the_strokes_of_a_hatched_box_stay_inside() -> None:
    drawing = drawn(plot(Series("Max", (Point(1, 3, 2, 4), Point(2, 6)), projected=True)))
    (hatch,) = paths(drawing, "hatch")
    left, top, right, bottom = map(
        float, re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)", hatch)[0]
    )
    strokes = re.findall(r"M([\d.]+) ([\d.]+)l([\d.]+) -([\d.]+)", hatch)
    assert len(strokes) > 5
    for x, y, across, rise in (map(float, stroke) for stroke in strokes):
        assert left - 0.1 <= x
        assert x + across <= right + 0.2
        assert top - 0.2 <= y - rise
        assert y <= bottom + 0.1


def test_a_zero_on_a_logarithmic_axis_is_noted_and_only_in_the_table() -> None:
    of = plot(
        Series("m", (Point(0, 1), Point(1, 0), Point(1, 1), Point(2, 2))), x_log=True, y_log=True
    )
    drawing = svg.draw(of, "p1")
    assert drawing.notes == ("2 points not drawn: no position on a logarithmic axis.",)
    assert len(paths(drawn(of), "mark")) == 3  # two points and the legend
    assert len(plot_tables.data_table(of).rows) == 4


@pytest.mark.parametrize("points", [(), (Point(math.nan, 1),), (Point(1, math.inf),)])
def test_without_a_point_there_is_a_sentence_instead_of_a_drawing(
    points: tuple[Point, ...],
) -> None:
    drawing = svg.draw(plot(Series("m", points)), "p1")
    assert drawing.svg == ""
    assert drawing.notes[-1] == "There is no point to draw."


ANY = st.floats() | st.sampled_from([0.0, 1e-300, 5e-324, 1e300, 1.7e308, -1e300, 1.0])
POINTS = st.builds(Point, ANY, ANY, st.none() | ANY, st.none() | ANY)
SERIES = st.builds(
    Series, st.text(), st.lists(POINTS, max_size=4).map(tuple), st.booleans(), st.booleans()
)
ROOFLINES = st.lists(st.builds(Roofline, st.text(max_size=9), ANY, ANY), max_size=2).map(tuple)


@settings(deadline=None, max_examples=300)
@given(st.lists(SERIES, max_size=4).map(tuple), st.booleans(), st.booleans(), ROOFLINES)
def test_any_drawing_stays_inside_its_box(
    series: tuple[Series, ...],
    x_log: bool,
    y_log: bool,
    rooflines: tuple[Roofline, ...],
) -> None:
    of = replace(plot(*series, x_log=x_log, y_log=y_log), rooflines=rooflines)
    plot_tables.data_table(of)
    markup = svg.draw(of, "p1").svg
    for coordinates in re.findall(r' (?:d|x|y)="([^"]*)"', markup):
        assert not re.search("nan|inf|e", coordinates)
    if markup:
        height = float(re.findall(r'viewBox="0 0 520 ([\d.]+)"', markup)[0])
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", markup):
            assert -20 <= float(x) <= 540
            assert -20 <= float(y) <= height


def test_a_roofline_rises_with_the_bandwidth_and_is_flat_beyond_the_ridge() -> None:
    drawing = drawn(constructed_report.roofline())
    measured, published = (
        [tuple(map(float, pair.split())) for pair in d[1:].split("L")]
        for d in paths(drawing, "roof")[:2]  # the others are in the legend
    )
    for (x0, y0), (x1, y1), (x2, y2) in (measured, published):
        assert x0 < x1 < x2
        assert y0 > y1 == y2
    # On logarithmic axes both rise at the same angle: a power of ten up, a power of ten along.
    slopes = [(a[1] - b[1]) / (b[0] - a[0]) for a, b, _ in (measured, published)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.02)
    assert {"measured peaks", "published"} <= set(contents(texts(drawing, "label")))


def test_the_description_has_the_numbers_of_the_plot() -> None:
    of = plot(Series("M4", (Point(8, 1234, 1200, 1300), Point(1024, 5, label="five, at 1,024"))))
    drawing = drawn(of)
    title, description = drawing.find("title"), drawing.find("desc")
    assert title is not None
    assert description is not None
    assert drawing.get("role") == "img"
    assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "Is it so?"
    assert description.text == (
        "samples/s against batch size. M4: 1,230 (1,200 – 1,300) at 8; five, at 1,024."  # noqa: RUF001
    )


def test_no_text_becomes_markup_in_a_drawing() -> None:
    attack = "<script>alert('x')</script>\"&amp;"
    of = constructed_report.roofline(attack)
    drawing = drawn(of)
    assert {each.tag for each in drawing.iter()} == {"svg", "title", "desc", "path", "g", "text"}
    assert attack in (drawing.findtext("title") or "")
