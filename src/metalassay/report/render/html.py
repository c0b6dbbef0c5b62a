"""Report -> one self-contained HTML page: no network, no script, no font."""

from __future__ import annotations

import itertools
import re
from importlib import resources
from typing import Any

from metalassay.environment import extras
from metalassay.report.model import (
    NO_VALUE,
    NOT_MEASURED,
    BarChart,
    CompatTable,
    Hint,
    Plot,
    Report,
    Table,
)
from metalassay.report.render import bars, compat_matrix, svg
from metalassay.report.render.plot_tables import data_table

_NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?\d[\d,]*")


def render(report: Report) -> str:
    """Return the page. Raises ``UserError`` without jinja2."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise extras.missing_extra("the report", "report", "jinja2") from None
    environment = Environment(
        autoescape=True,  # every string of the report comes from a file
        undefined=StrictUndefined,
        loader=FunctionLoader(_template),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    counter = itertools.count(1)

    def draw(plot: Plot) -> dict[str, Any]:
        drawing = svg.draw(plot, f"p{next(counter)}")
        # svg escapes every string itself
        return {"svg": Markup(drawing.svg), "notes": drawing.notes}  # noqa: S704

    def draw_bars(chart: BarChart) -> Markup:
        # likewise
        return Markup(bars.draw(chart, f"p{next(counter)}"))  # noqa: S704

    environment.tests["hint"] = lambda part: isinstance(part, Hint)
    environment.globals.update(
        pads=pads,
        data_table=data_table,
        draw=draw,
        draw_bars=draw_bars,
        no_value=(NOT_MEASURED, NO_VALUE),
        **_compat_globals(report),
    )
    return environment.get_template("page.html.j2").render(report=report)


def _template(name: str) -> str:
    folder = resources.files(__package__).joinpath("templates")
    return folder.joinpath(name).read_text("utf-8")


def _compat_globals(report: Report) -> dict[str, Any]:
    if not isinstance(report.compat, CompatTable):
        return {}
    laid_out = compat_matrix.lay_out(report.compat)
    return {
        "matrix": laid_out,
        "has_no_details": compat_matrix.has_no_details,
        "omitted": compat_matrix.omitted_note(laid_out),
    }


def pads(table: Table) -> list[list[str]]:
    """Return for each cell, as zeros, the digits that its number lacks before the decimal point.

    The page puts them invisibly in front of the number, which aligns the decimal points of a column.
    A cell without a number, or in a column that is not numeric, gets an empty string.
    """
    columns = [
        _pads([row[index] for row in table.rows]) if numeric else [""] * len(table.rows)
        for index, numeric in enumerate(table.numeric)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _pads(cells: list[str]) -> list[str]:
    matches = [_NUMBER.match(cell) for cell in cells]
    integers = [match[0] if match else "" for match in matches]
    longest = max(integers, key=len, default="")
    return [
        re.sub(r"\d", "0", longest[: len(longest) - len(integer)]) if integer else ""
        for integer in integers
    ]
