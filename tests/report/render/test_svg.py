"""Plots as SVG: every value has its place, nothing covers a name, and nothing odd breaks a drawing."""

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

from metalassay.report.model import Plot, Point, Series
from metalassay.report.render import plot_tables, svg
from metalassay.report.render.svg_axes import axis, nice, tick_text
from metalassay.report.render.svg_labels import LINE, apart


def plot(*series: Series, x_log: bool = False, y_log: bool = False) -> Plot:
    return Plot("Is it so?", "batch size", "samples/s", series, x_log, y_log)


def drawn(of: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(of, "p1").svg)  # noqa: S314  (made here)


def texts(drawing: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [each for each in drawing.iter("text") if kind in each.get("class", "").split()]


def paths(drawing: ElementTree.Element, kind: str) -> list[str]:
    return [
        each.get("d", "") for each in drawing.iter("path") if kind in each.get("class", "").split()
    ]


def said(elements: list[ElementTree.Element]) -> list[str]:
    return [each.text or "" for each in elements]


@given(st.floats(min_value=1e-290, max_value=1e290))
def test_a_step_is_one_two_or_five_times_a_power_of_ten(span: float) -> None:
    step = nice(span)
    assert span * (1 - 1e-6) <= step <= 2.5 * span * (1 + 1e-6)
    assert f"{step:.6e}"[:8] in {"1.000000", "2.000000", "5.000000"}


def test_a_linear_axis_starts_at_zero_and_ends_at_a_tick() -> None:
    made = axis([830, 1_720], log=False)
    assert made.ticks == (0, 500, 1000, 1500, 2000)
    assert (made.at(0), made.at(2000), made.at(1000)) == (0, 1, 0.5)


def test_a_logarithmic_axis_has_powers_of_ten_and_steps_between_where_they_are_few() -> None:
    assert axis([1, 1e6], log=True).ticks == (1, 10, 100, 1000, 1e4, 1e5, 1e6)
    assert axis([3, 90], log=True).ticks == (5, 10, 20, 50, 100)
    assert axis([1, 1e32], log=True).ticks == (1, 1e5, 1e10, 1e15, 1e20, 1e25, 1e30)


def test_batch_sizes_are_the_ticks_unless_they_are_too_near() -> None:
    drawing = drawn(plot(Series("m", tuple(Point(x, 1.0) for x in (1, 8, 64, 512))), x_log=True))
    assert said(texts(drawing, "middle"))[:4] == ["1", "8", "64", "512"]
    near = drawn(plot(Series("m", tuple(Point(x, 1.0) for x in (1, 2, 3, 500)))))
    assert said(texts(near, "middle"))[:3] == ["0", "100", "200"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (20_000, "20,000"), (0.005, "0.005"), (2e6, "2×10⁶"), (1e-7, "10⁻⁷"), (-5, "−5")],  # noqa: RUF001
)
def test_a_tick_is_written_without_zeros_to_count(value: float, text: str) -> None:
    assert tick_text(value) == text


VISIBLE = st.characters(exclude_categories=["C"])
HEIGHTS = st.floats(min_value=10, max_value=60)


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=300), HEIGHTS), max_size=9))
def test_names_are_pushed_apart_in_their_order_and_stay_inside(
    wanted: list[tuple[float, float]],
) -> None:
    heights = [height for _, height in wanted]
    high = max(300.0, sum(heights))
    placed = apart([y for y, _ in wanted], heights, 0, high)
    edges = sorted(
        (middle - height / 2, middle + height / 2)
        for middle, height in zip(placed, heights, strict=True)
    )
    assert all(one[1] <= other[0] + 1e-6 for one, other in itertools.pairwise(edges))
    assert all(low >= -1e-6 and end <= high + 1e-6 for low, end in edges)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index][0])
    assert [placed[index] for index in order] == sorted(placed)


def test_a_name_with_room_stands_where_its_line_ends() -> None:
    assert apart([50, 200], [18, 18], 0, 300) == [50, 200]
    assert apart([100, 100], [20, 20], 0, 300) == [100, 120]


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    drawing = drawn(plot(Series("m", (Point(1, 10, 0, 20), Point(2, 5)))))
    grid = [float(re.split("[ H]", d)[1]) for d in paths(drawing, "grid") if "H" in d]
    (bar,) = paths(drawing, "bar")
    found = re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)M", bar)
    assert found
    assert [float(each) for each in found.groups()] == [grid[0], grid[-1]]
    assert said(texts(drawing, "end")) == ["0", "5", "10", "15", "20"]


def test_series_differ_in_shape_as_in_colour_and_are_named_where_they_end() -> None:
    series = [Series(f"setting {n}", (Point(1, 5), Point(2, 5 + n / 50))) for n in range(6)]
    drawing = drawn(plot(*series))
    shapes = {re.sub(r"^M[\d.]+ [\d.]+", "", d) for d in paths(drawing, "mark")}
    assert len(shapes) == 6
    assert {each.get("class") for each in drawing.iter("g")} == {f"s{n}" for n in range(6)}
    assert sorted(said(texts(drawing, "label"))) == [each.name for each in series]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text(VISIBLE, max_size=70), st.floats(min_value=0, max_value=1)),
        min_size=1,
        max_size=6,
    )
)
def test_no_name_covers_another_with_up_to_six_series(ends: list[tuple[str, float]]) -> None:
    drawing = drawn(plot(*(Series(name, (Point(1, 0), Point(2, y))) for name, y in ends)))
    heights = sorted(float(each.get("y", "nan")) for each in texts(drawing, "label"))
    assert all(b - a >= LINE - 0.2 for a, b in itertools.pairwise(heights))
    assert len({float(each.get("x", "nan")) for each in texts(drawing, "label")}) == 1


def test_what_is_projected_is_hatched_hollow_dashed_and_says_so() -> None:
    points = (Point(1, 3, 2, 4), Point(2, 6, 5, 7))
    both = drawn(plot(Series("Max", points, projected=True), Series("M4", points)))
    only = drawn(plot(Series("M4", points)))
    assert [len(paths(both, kind)) for kind in ("hatch", "bar", "dashed")] == [2, 2, 1]
    assert len(paths(both, "hollow")) == 3  # two points and the mark beside the name
    assert "projected" in said(texts(both, "label"))
    assert not [d for kind in ("hatch", "hollow", "dashed") for d in paths(only, kind)]
    assert "projected" not in ElementTree.tostring(only, encoding="unicode")


def test_a_hatched_box_has_strokes_that_stay_inside() -> None:
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


def test_a_zero_on_a_logarithmic_axis_is_left_out_and_said_and_stays_in_the_numbers() -> None:
    of = plot(
        Series("m", (Point(0, 1), Point(1, 0), Point(1, 1), Point(2, 2))), x_log=True, y_log=True
    )
    drawing = svg.draw(of, "p1")
    assert drawing.notes == (
        "2 points left out of the plot: no place for it on a logarithmic axis.",
    )
    assert len(paths(drawn(of), "mark")) == 3  # two points and the mark beside the name
    assert len(plot_tables.numbers(of).rows) == 4


@pytest.mark.parametrize("points", [(), (Point(math.nan, 1),), (Point(1, math.inf),)])
def test_without_a_point_there_is_no_drawing_and_a_sentence(points: tuple[Point, ...]) -> None:
    drawing = svg.draw(plot(Series("m", points)), "p1")
    assert drawing.svg == ""
    assert drawing.notes[-1] == "There is no point to draw."


ANY = st.floats() | st.sampled_from([0.0, 1e-300, 5e-324, 1e300, 1.7e308, -1e300, 1.0])
POINTS = st.builds(Point, ANY, ANY, st.none() | ANY, st.none() | ANY)
SERIES = st.builds(
    Series, st.text(), st.lists(POINTS, max_size=4).map(tuple), st.booleans(), st.booleans()
)
ROOFS = st.lists(st.tuples(st.text(max_size=9), ANY, ANY), max_size=2).map(tuple)


@settings(deadline=None, max_examples=300)
@given(st.lists(SERIES, max_size=4).map(tuple), st.booleans(), st.booleans(), ROOFS)
def test_whatever_the_values_a_drawing_stays_inside_its_box(
    series: tuple[Series, ...],
    x_log: bool,
    y_log: bool,
    roofs: tuple[tuple[str, float, float], ...],
) -> None:
    of = replace(plot(*series, x_log=x_log, y_log=y_log), roofs=roofs)
    plot_tables.numbers(of)
    made = svg.draw(of, "p1").svg
    for coordinates in re.findall(r' (?:d|x|y)="([^"]*)"', made):
        assert not re.search("nan|inf|e", coordinates)
    if made:
        height = float(re.findall(r'viewBox="0 0 520 ([\d.]+)"', made)[0])
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", made):
            assert -20 <= float(x) <= 540
            assert -20 <= float(y) <= height


def test_a_roof_rises_with_the_bandwidth_and_is_flat_from_the_ridge_on() -> None:
    drawing = drawn(constructed_report.roofline())
    measured, published = (
        [tuple(map(float, pair.split())) for pair in d[1:].split("L")]
        for d in paths(drawing, "roof")
    )
    for (x0, y0), (x1, y1), (x2, y2) in (measured, published):
        assert x0 < x1 < x2
        assert y0 > y1 == y2
    # On logarithmic axes both rise at the same angle: a power of ten up, a power of ten along.
    slopes = [(a[1] - b[1]) / (b[0] - a[0]) for a, b, _ in (measured, published)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.02)
    assert {"measured:", "published"} <= set(said(texts(drawing, "label")))


def test_points_below_a_roof_have_their_own_names_and_their_series_has_its() -> None:
    drawing = drawn(constructed_report.roofline())
    assert {"batch 1", "batch 8", "batch 64"} >= set(said(texts(drawing, "point")))
    assert len(texts(drawing, "point")) >= 5
    assert "transit-cnn" in said(texts(drawing, "label"))


def test_who_does_not_see_the_plot_is_told_its_numbers() -> None:
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


def test_the_numbers_of_a_plot_are_a_table_with_batch_sizes_in_full() -> None:
    of = plot(Series("M4", (Point(1024, 1234.5, 1200, None),), projected=True))
    table = plot_tables.numbers(of)
    assert table.head == ("series", "batch size", "samples/s", "interval")
    assert table.rows == (("M4 (projected)", "1,024", "1,230", "1,200 – ?"),)  # noqa: RUF001


def test_no_text_becomes_markup_in_a_drawing() -> None:
    attack = "<script>alert('x')</script>\"&amp;"
    of = constructed_report.roofline(attack)
    drawing = drawn(of)
    assert {each.tag for each in drawing.iter()} == {"svg", "title", "desc", "path", "g", "text"}
    assert attack in (drawing.findtext("title") or "")
