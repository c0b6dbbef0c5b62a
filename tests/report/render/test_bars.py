"""Bars are drawn from 0 in proportion to their values, and every text is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from metalassay.report.model import Bar, BarChart
from metalassay.report.render import bars


def chart(*values: float, name: str = "aten::mm") -> BarChart:
    return BarChart("Where?", "ms", tuple(Bar(name, value, f"{value:g} ms") for value in values))


def lengths(svg: str) -> list[float]:
    found = re.findall(r'class="mark" d="M([\d.]+) [\d.]+H([\d.]+)v', svg)
    return [float(end) - float(start) for start, end in found]


def test_bars_are_as_long_as_their_values() -> None:
    long, half, none = lengths(bars.draw(chart(8, 4, 0), "p1"))
    assert long > 100
    assert abs(half - long / 2) <= 0.2
    assert none == 0


def test_text_of_a_file_stays_text_and_a_long_name_is_cut() -> None:
    svg = bars.draw(chart(1, name="<script>" + "x" * 300), "p1")
    tree = ElementTree.fromstring(svg)  # noqa: S314  (our own drawing)
    assert "<script" not in svg
    texts = [each.text or "" for each in tree.iter("text")]
    assert max(map(len, texts)) < 60
    assert all(0 <= float(each.get("x", "")) <= 520 for each in tree.iter("text"))


def test_without_a_bar_nothing_is_drawn() -> None:
    assert bars.draw(chart(), "p1") == ""
    assert bars.draw(chart(float("nan")), "p1") == ""
