"""Report -> one HTML page that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from importlib import resources

from metalassay.errors import UserError
from metalassay.report.rows import NO_VALUE, NOT_MEASURED, Hint, Report


def render(report: Report) -> str:
    """Return the page. Raises ``UserError`` without jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise UserError("the report needs jinja2", "pip install 'metalassay[report]'") from None
    environment = Environment(
        autoescape=True,  # every string of the report comes from a file
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["hint"] = lambda part: isinstance(part, Hint)
    template = resources.files("metalassay.report").joinpath("page.html.j2").read_text("utf-8")
    quiet = (NOT_MEASURED, NO_VALUE)
    return environment.from_string(template).render(report=report, quiet=quiet)
