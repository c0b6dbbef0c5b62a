"""Bar chart -> a drawing in SVG for the page, in the manner of the plots: horizontal bars with their numbers."""

from __future__ import annotations

import math
from html import escape

from metalassay.report.model import BarChart
from metalassay.report.render.svg import FONT_SIZE, WIDTH, axis, tick_text
from metalassay.report.render.text_width import width, wrapped

_ROW, _THICK = 24.0, 14.0  # units from one bar to the next, and of a bar
_TOP, _BELOW, _MARGIN, _GAP = 8.0, 46.0, 4.0, 6.0
_MOST_NAME = 210.0  # units of the names on the left; longer ones are cut


def draw(chart: BarChart, id_prefix: str) -> str:
    """Draw a chart; ``id_prefix`` begins the ids in it and must be unique. Empty without a bar."""
    bars = [bar for bar in chart.bars if 0 <= bar.value < math.inf]
    if not bars:
        return ""
    names = [(wrapped(bar.name, FONT_SIZE, _MOST_NAME, 1) or ["(no name)"])[0] for bar in bars]
    left = _MARGIN + max(width(name, FONT_SIZE) for name in names) + _GAP
    right = WIDTH - _MARGIN - _GAP - max(width(bar.label, FONT_SIZE) for bar in bars)
    right = max(right, left + 60)
    x = axis([bar.value for bar in bars], log=False)
    bottom = _TOP + _ROW * len(bars)
    parts = [
        f'<title id="{id_prefix}t">{escape(chart.title)}</title>',
        f'<desc id="{id_prefix}d">{escape(_description(chart))}</desc>',
    ]
    for tick in x.ticks:
        at = left + (right - left) * x.at(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP:.1f}V{bottom:.1f}"/>')
        parts.append(_text(at, bottom + 19, tick_text(tick), "tick middle"))
    parts.append('<g class="s0">')
    for index, bar in enumerate(bars):
        end = left + (right - left) * x.at(bar.value)
        top = _TOP + _ROW * index + (_ROW - _THICK) / 2
        tooltip = escape(f"{bar.name}: {bar.label}")
        parts.append(
            f'<path class="mark" d="M{left:.1f} {top:.1f}H{end:.1f}v{_THICK}H{left:.1f}z">'
            f"<title>{tooltip}</title></path>"
        )
    parts.append("</g>")
    for index, (bar, name) in enumerate(zip(bars, names, strict=True)):
        end = left + (right - left) * x.at(bar.value)
        y = _TOP + _ROW * index + _ROW / 2 + 4.5
        parts.append(_text(left - _GAP, y, name, "label end"))
        parts.append(_text(end + _GAP, y, bar.label, "label"))
    parts.append(f'<path class="axis" d="M{left:.1f} {_TOP:.1f}V{bottom:.1f}"/>')
    parts.append(_text((left + right) / 2, bottom + 38, chart.x_label, "name middle"))
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {bottom + _BELOW:g}" role="img"'
        f' aria-labelledby="{id_prefix}t {id_prefix}d">{"".join(parts)}</svg>'
    )


def _description(chart: BarChart) -> str:
    return f"{chart.x_label}. " + "; ".join(f"{bar.name}: {bar.label}" for bar in chart.bars) + "."


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'
