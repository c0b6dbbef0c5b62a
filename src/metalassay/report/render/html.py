"""Report -> one HTML page that needs nothing else: no network, no script, no font."""

from __future__ import annotations

import itertools
import re
from importlib import resources
from typing import Any

from metalassay.errors import UserError
from metalassay.report.model import NO_VALUE, NOT_MEASURED, CompatTable, Hint, Plot, Report, Table
from metalassay.report.render import compat_matrix, svg
from metalassay.report.render.plot_tables import numbers

_NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?\d[\d,]*")


def render(report: Report) -> str:
    """Return the page. Raises ``UserError`` without jinja2."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise UserError("the report needs jinja2", "pip install 'metalassay[report]'") from None
    environment = Environment(
        autoescape=True,  # every string of the report comes from a file
        undefined=StrictUndefined,
        loader=FunctionLoader(_template),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    counter = itertools.count(1)

    def drawn(plot: Plot) -> tuple[Any, tuple[str, ...]]:
        drawing = svg.draw(plot, f"p{next(counter)}")
        return Markup(drawing.svg), drawing.notes  # noqa: S704  (svg escapes every string itself)

    environment.tests["hint"] = lambda part: isinstance(part, Hint)
    environment.globals.update(
        pads=pads, numbers=numbers, drawn=drawn, quiet=(NOT_MEASURED, NO_VALUE), **_about(report)
    )
    return environment.get_template("page.html.j2").render(report=report)


def _template(name: str) -> str:
    folder = resources.files(__package__).joinpath("templates")
    return folder.joinpath(name).read_text("utf-8")


def _about(report: Report) -> dict[str, Any]:
    if not isinstance(report.compat, CompatTable):
        return {}
    laid_out = compat_matrix.lay_out(report.compat)
    return {
        "matrix": laid_out,
        "says_all": compat_matrix.says_all,
        "dropped": compat_matrix.dropped_note(laid_out),
    }


def pads(table: Table) -> list[list[str]]:
    """Return, for each cell, the digits that its number lacks before the decimal point, as zeros.

    The page shows them invisibly in front, so that the points of a column stand below each other. A
    cell that is no number, or whose column is none, gets an empty string.
    """
    columns = [
        _pads([row[index] for row in table.rows]) if numeric else [""] * len(table.rows)
        for index, numeric in enumerate(table.numeric)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _pads(cells: list[str]) -> list[str]:
    found = [_NUMBER.match(cell) for cell in cells]
    heads = [each[0] if each else "" for each in found]
    longest = max(heads, key=len, default="")
    return [
        re.sub(r"\d", "0", longest[: len(longest) - len(each)]) if each else "" for each in heads
    ]
